//! What becomes of live connections as time and trust go on.

use identity::testing::{TestCa, bundles_of, time};
use identity::{Clock, Hand, Identity, PeerFacts, Publisher, X509Svid, peer_facts};
use model::PeerProfile;

use super::*;
use crate::mesh::{LiveIdentity, Side};

const OWN: &str = "spiffe://cluster.local/ns/edge/sa/gw";
const PEER: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const PARTNER: &str = "spiffe://partner.example/ns/a/sa/b";

struct World {
    ca: TestCa,
    partner: TestCa,
    publisher: Publisher,
    hand: Hand,
    start: SystemTime,
    live: Arc<LiveIdentity>,
}

impl World {
    /// The gateway's SVID is valid for an hour.
    fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let (clock, hand) = Clock::by_hand(start);
        let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock);
        let live = LiveIdentity::new(&"gw".into(), identity);
        let (ca, partner) = (TestCa::new("cluster.local"), TestCa::new("partner.example"));
        let world = Self { ca, partner, publisher, hand, start, live };
        world.publish(&world.own(3600), &[&world.ca, &world.partner]);
        world
    }

    fn own(&self, seconds: u64) -> X509Svid {
        let ends = self.start + Duration::from_secs(seconds);
        self.ca.issue_with(OWN, |params| params.not_after = time(ends)).svid(PeerProfile::SpiffeStrict)
    }

    fn publish(&self, own: &X509Svid, authorities: &[&TestCa]) {
        self.publisher.publish(own.clone(), bundles_of(authorities), Vec::new()).unwrap();
    }

    fn peer(&self, ca: &TestCa, id: &str, seconds: u64) -> PeerFacts {
        let ends = self.start + Duration::from_secs(seconds);
        let chain = ca.issue_with(id, |params| params.not_after = time(ends)).chain;
        peer_facts(&chain, PeerProfile::SpiffeStrict).unwrap()
    }

    fn tie(&self, peer: PeerFacts) -> Tie {
        let before = self.live.before().unwrap();
        self.live.tie(peer, &before, Side::Upstream, true)
    }

    fn ended(&self) -> Vec<(Ended, &'static str, u64)> {
        self.live
            .counters()
            .ended()
            .into_iter()
            .map(|((_, how, reason), count)| (how, reason, count))
            .collect()
    }
}

/// Lets the judge do what it can do now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_retires_then_drains_then_is_cut_as_its_peers_certificate_ends() {
    let world = World::new();
    let tie = world.tie(world.peer(&world.ca, PEER, 100));
    settle().await;
    world.hand.advance(Duration::from_secs(84));
    settle().await;
    assert_eq!(tie.fate(), Fate::Live);
    world.hand.advance(Duration::from_secs(6));
    tie.reached(Fate::Retiring).await;
    assert!(!tie.usable() && tie.reason().is_none());
    world.hand.advance(Duration::from_secs(9));
    settle().await;
    assert_eq!(tie.fate(), Fate::Retiring);
    world.hand.advance(Duration::from_secs(1));
    tie.reached(Fate::Draining).await;
    assert!(tie.reason().unwrap().contains("has ended"));
    world.hand.advance(DRAIN);
    tie.reached(Fate::Cut).await;
    assert_eq!(world.ended(), [(Ended::Drained, "expired", 1), (Ended::Cut, "drain_deadline", 1)]);
    assert_eq!(world.live.counters().active.value(), 1);
    drop(tie);
    assert_eq!(world.live.counters().active.value(), 0);
}

#[tokio::test]
async fn short_lives_retire_by_a_quarter() {
    let world = World::new();
    let tie = world.tie(world.peer(&world.ca, PEER, 4));
    settle().await;
    world.hand.advance(Duration::from_secs(3));
    tie.reached(Fate::Retiring).await;
    world.hand.advance(Duration::from_secs(1));
    tie.reached(Fate::Draining).await;
}

#[tokio::test]
async fn the_own_certificate_that_was_shown_counts_too() {
    let world = World::new();
    let tie = world.tie(world.peer(&world.ca, PEER, 100_000));
    world.publish(&world.own(7200), &[&world.ca, &world.partner]);
    settle().await;
    assert_eq!(tie.fate(), Fate::Live, "a new leaf alone ends nothing");
    world.hand.advance(Duration::from_secs(3595));
    tie.reached(Fate::Retiring).await;
    world.hand.advance(Duration::from_secs(5));
    tie.reached(Fate::Draining).await;
    assert_eq!(tie.fate(), Fate::Draining, "it was renewed, so nothing is cut");
}

#[tokio::test]
async fn nothing_stands_on_an_identity_that_has_ended() {
    let world = World::new();
    let tie = world.tie(world.peer(&world.ca, PEER, 100_000));
    settle().await;
    world.hand.advance(Duration::from_secs(3600));
    tie.reached(Fate::Cut).await;
    assert!(world.live.before().is_none());
    assert!(world.ended().iter().any(|(how, reason, _)| *how == Ended::Cut && *reason == "not_ready"));
}

#[tokio::test]
async fn a_bundle_that_goes_takes_its_peers_along_at_once() {
    let world = World::new();
    let own = world.own(3600);
    world.publish(&own, &[&world.ca, &world.partner]);
    let (here, there) =
        (world.tie(world.peer(&world.ca, PEER, 1000)), world.tie(world.peer(&world.partner, PARTNER, 1000)));
    settle().await;
    world.publish(&own, &[&world.ca]);
    there.reached(Fate::Cut).await;
    assert!(there.reason().unwrap().contains("no bundle"), "{:?}", there.reason());
    settle().await;
    assert_eq!(here.fate(), Fate::Live);
    assert_eq!(world.ended(), [(Ended::Cut, "no_bundle", 1)]);
}

#[tokio::test]
async fn a_revoked_peer_is_cut_at_once() {
    let world = World::new();
    let own = world.own(3600);
    world.publish(&own, &[&world.ca]);
    let peer = world.peer(&world.ca, PEER, 1000);
    let list = world.ca.revoke(&[&peer.chain[0]]);
    let (revoked, other) = (world.tie(peer), world.tie(world.peer(&world.ca, PEER, 1000)));
    settle().await;
    world.publisher.publish(own, world.ca.bundles(), vec![list]).unwrap();
    revoked.reached(Fate::Cut).await;
    settle().await;
    assert_eq!(other.fate(), Fate::Live);
    assert_eq!(world.ended(), [(Ended::Cut, "revoked", 1)]);
}

#[tokio::test]
async fn trust_that_ends_during_a_handshake_is_noticed() {
    let world = World::new();
    let own = world.own(3600);
    world.publish(&own, &[&world.ca, &world.partner]);
    settle().await;
    let before = world.live.before().unwrap();
    let peer = world.peer(&world.partner, PARTNER, 1000);
    // The verifier has loaded the old bundles; before the connection is entered, they are gone and the sweep is over.
    world.publish(&own, &[&world.ca]);
    settle().await;
    let tie = world.live.tie(peer, &before, Side::Downstream, true);
    tie.reached(Fate::Cut).await;
}

#[tokio::test]
async fn an_identity_that_is_removed_drains_its_connections() {
    let world = World::new();
    let tie = world.tie(world.peer(&world.ca, PEER, 1000));
    world.live.close();
    tie.reached(Fate::Draining).await;
    assert!(tie.reason().unwrap().contains("not in the configuration"));
    let late = world.tie(world.peer(&world.ca, PEER, 1000));
    assert_eq!(late.fate(), Fate::Draining);
    settle().await;
    world.hand.advance(DRAIN);
    tie.reached(Fate::Cut).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_nothing() {
    let world = World::new();
    let born = world.start;
    let chain = world.ca.issue_with(PEER, |params| params.not_before = time(born)).chain;
    let tie = world.tie(peer_facts(&chain, PeerProfile::SpiffeStrict).unwrap());
    world.hand.set(born - Duration::from_secs(60));
    assert!(world.live.identity().verify_again(&tie.peer).is_err());
    crate::mesh::judge::judge(world.live.identity(), world.live.ledger(), &world.live.ledger().all());
    assert_eq!(tie.fate(), Fate::Live);
}
