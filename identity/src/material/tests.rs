//! Published material: what is taken and what is not (X32), what is told of it, when it ends.

use std::time::{Duration, SystemTime};

use model::PeerProfile;
use prometheus_client::registry::Registry;
use rcgen::SanType;

use super::{Identity, IdentityMetrics, PublishError, Publisher};
use crate::bundle::{TrustBundle, TrustBundles};
use crate::clock::{Clock, Hand};
use crate::id::WorkloadId;
use crate::svid::X509Svid;
use crate::testing::{TestCa, bundles_of, time};
use crate::verify::VerifyError;

const ID: &str = "spiffe://td.example/ns/edge/sa/gw";
const HOUR: Duration = Duration::from_secs(3600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

fn identity() -> (Identity, Publisher, Hand) {
    let (clock, hand) = Clock::by_hand(start());
    let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock);
    publisher.expect(WorkloadId::parse(ID).unwrap());
    (identity, publisher, hand)
}

/// An SVID from `start` on.
fn lasting(ca: &TestCa, life: Duration) -> X509Svid {
    let issued = ca.issue_with(ID, |params| {
        params.not_before = time(start());
        params.not_after = time(start() + life);
    });
    issued.svid(PeerProfile::SpiffeStrict)
}

#[test]
fn a_generation_is_published_and_counted() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, _hand) = identity();
    let changed = identity.changed();
    assert!(identity.material().is_none());
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    let material = identity.material().unwrap();
    assert_eq!((material.generation, *changed.borrow()), (1, 1));
    // The same again is no change.
    publisher.publish(material.svid.clone(), ca.bundles(), Vec::new()).unwrap();
    assert_eq!(*changed.borrow(), 1);
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    assert_eq!(identity.material().unwrap().generation, 2);
    assert_eq!((identity.counters().renewals(), identity.counters().failures()), (2, 0));
}

/// X32: whatever is wrong with a new SVID, the old one stays.
#[test]
fn x32_a_bad_svid_is_refused_and_the_old_one_stays() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, _hand) = identity();
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    let good = identity.material().unwrap();

    let other = ca.issue("spiffe://td.example/ns/edge/sa/other");
    let error = publisher.publish(other, ca.bundles(), Vec::new()).unwrap_err();
    assert!(matches!(error, PublishError::WrongId { .. }), "{error}");

    let expired = ca.issue_with(ID, |params| params.not_after = time(start() - HOUR));
    let expired = expired.svid(PeerProfile::SpiffeStrict);
    let error = publisher.publish(expired, ca.bundles(), Vec::new()).unwrap_err();
    assert!(matches!(error, PublishError::Untrusted(VerifyError::Expired { .. })), "{error}");

    let foreign = TestCa::new("td.example").issue(ID);
    let error = publisher.publish(foreign, ca.bundles(), Vec::new()).unwrap_err();
    assert!(matches!(error, PublishError::Untrusted(VerifyError::BadSignature { .. })), "{error}");

    let error = publisher.publish(ca.issue(ID), TrustBundles::default(), Vec::new()).unwrap_err();
    assert!(matches!(error, PublishError::Untrusted(VerifyError::NoBundle { .. })), "{error}");

    let error = publisher.publish(ca.issue(ID), ca.bundles(), vec![vec![1].into()]).unwrap_err();
    assert!(matches!(error, PublishError::Crl(_)), "{error}");

    assert_eq!(identity.material().unwrap().svid, good.svid);
    let status = identity.status();
    assert_eq!((status.failures, status.generation, status.ready), (5, 1, true));
    assert!(status.last_error.unwrap().starts_with("revocation list 1 cannot be used"));
    assert_eq!(identity.counters().failures(), 5);
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    let status = identity.status();
    assert_eq!((status.failures, status.last_error), (0, None));
}

/// Removed trust is honoured at once, also where our own chain hung on it; that is an alarm.
#[test]
fn bundles_are_taken_with_an_svid_that_is_in_use() {
    let (old, new) = (TestCa::new("td.example"), TestCa::new("td.example"));
    let (identity, publisher, _hand) = identity();
    let svid = old.issue(ID);
    publisher.publish(svid.clone(), old.bundles(), Vec::new()).unwrap();
    publisher.publish(svid.clone(), new.bundles(), Vec::new()).unwrap();
    let material = identity.material().unwrap();
    assert_eq!((material.generation, &material.bundles), (2, &new.bundles()));
    let error = identity.status().last_error.unwrap();
    assert!(error.contains("the bundle of td.example holds"), "{error}");
    // The same again is a success of the source, but does not mend it.
    publisher.failed(&std::io::Error::other("timed out"));
    publisher.publish(svid.clone(), new.bundles(), Vec::new()).unwrap();
    let status = identity.status();
    assert_eq!((status.failures, status.last_error), (0, Some(error)));
    // Everything revoked.
    let empty = TrustBundles::of(new.trust_domain().clone(), TrustBundle::default());
    publisher.publish(svid.clone(), empty, Vec::new()).unwrap();
    assert!(identity.status().last_error.unwrap().contains("is empty"));
    // Ourselves revoked: whom the list revokes besides must not be believed longer for it.
    publisher.publish(svid.clone(), old.bundles(), vec![old.revoke(&[&svid.chain()[0]])]).unwrap();
    assert!(identity.status().last_error.unwrap().contains("is revoked by"));
    publisher.publish(svid, old.bundles(), Vec::new()).unwrap();
    assert_eq!(identity.status().last_error, None);
}

#[test]
fn a_failed_renewal_keeps_the_material_and_tells_why() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, _hand) = identity();
    publisher.source("istiod.istio-system.svc:15012");
    publisher.failed(&std::io::Error::other("connection refused"));
    let status = identity.status();
    assert_eq!(
        status.not_ready.unwrap(),
        "the identity gw is not ready: no SVID was had yet: connection refused"
    );
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    publisher.next_renewal(start() + HOUR);
    publisher.failed(&PublishError::Untrusted(VerifyError::NoCertificate));
    publisher.failed(&std::io::Error::other("timed out"));
    let status = identity.status();
    assert!(status.ready && identity.material().is_some());
    assert_eq!((status.failures, status.last_error.as_deref()), (2, Some("timed out")));
    assert_eq!((status.next_renewal, status.last_error_at), (Some(start() + HOUR), Some(start())));
}

#[test]
fn a_status_says_who_we_are_and_whom_we_believe() {
    let (ca, partner) = (TestCa::new("td.example"), TestCa::new("partner.example"));
    let (identity, publisher, _hand) = identity();
    publisher.source("files");
    let svid = ca.intermediate().issue(ID);
    publisher.publish(svid.clone(), bundles_of(&[&ca, &partner]), vec![ca.revoke(&[])]).unwrap();
    let json = serde_json::to_value(identity.status()).unwrap();
    assert_eq!(json["id"], ID);
    assert_eq!(json["source"], "files");
    assert_eq!(json["serial"], svid.serial());
    assert_eq!(json["chain"], 2);
    assert_eq!(json["notAfter"], 4_102_444_800_u64);
    assert_eq!(json["bundles"]["partner.example"]["roots"], 1);
    assert_eq!(json["revocationLists"], 1);
    assert!(json["issuer"].as_str().unwrap().contains("intermediate"));
}

#[test]
fn withdrawn_material_is_gone_at_once() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, _hand) = identity();
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    let mut changed = identity.changed();
    changed.mark_unchanged();
    publisher.withdraw("permission denied");
    assert!(identity.material().is_none() && changed.has_changed().unwrap());
    assert_eq!(identity.counters().not_after(), 0);
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    assert_eq!(identity.material().unwrap().generation, 3);
}

/// At the end there is no material, even if no timer runs.
#[test]
fn material_ends_with_its_svid() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, hand) = identity();
    publisher.publish(lasting(&ca, HOUR), ca.bundles(), Vec::new()).unwrap();
    let peer = crate::peer_facts(ca.issue(ID).chain(), PeerProfile::SpiffeStrict).unwrap();
    identity.verify_again(&peer).unwrap();
    hand.advance(HOUR - Duration::from_secs(1));
    assert!(identity.material().is_some());
    hand.advance(Duration::from_secs(1));
    assert!(identity.material().is_none());
    assert_eq!(identity.verify_again(&peer).unwrap_err().reason(), "not_ready");
    // A clock that goes back brings it back.
    hand.set(start());
    assert!(identity.material().is_some());
}

/// X18 for live connections: the peer's certificate ends.
#[test]
fn a_peer_is_judged_again_by_the_clock() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, hand) = identity();
    publisher.publish(ca.issue(ID), ca.bundles(), Vec::new()).unwrap();
    let peer = crate::peer_facts(lasting(&ca, HOUR).chain(), PeerProfile::SpiffeStrict).unwrap();
    identity.verify_again(&peer).unwrap();
    hand.advance(HOUR);
    assert_eq!(identity.verify_again(&peer).unwrap_err().reason(), "expired");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_announced_and_wakes_whoever_waits() {
    let ca = TestCa::new("td.example");
    let clock = Clock::tokio(start());
    let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock.clone());
    publisher.publish(lasting(&ca, HOUR), ca.bundles(), Vec::new()).unwrap();
    let mut changed = identity.changed();
    changed.mark_unchanged();
    changed.changed().await.unwrap();
    assert_eq!(clock.now().duration_since(start()).unwrap().as_secs(), 3600);
    assert!(identity.material().is_none());
    assert_eq!(*changed.borrow(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_in_time_is_not_followed_by_the_old_end() {
    let ca = TestCa::new("td.example");
    let clock = Clock::tokio(start());
    let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock.clone());
    publisher.publish(lasting(&ca, HOUR), ca.bundles(), Vec::new()).unwrap();
    clock.sleep_until(start() + HOUR / 2).await;
    publisher.publish(lasting(&ca, 2 * HOUR), ca.bundles(), Vec::new()).unwrap();
    let mut changed = identity.changed();
    changed.mark_unchanged();
    changed.changed().await.unwrap();
    assert_eq!(clock.now().duration_since(start()).unwrap(), 2 * HOUR);
}

#[test]
fn metrics_have_a_series_for_each_identity() {
    let ca = TestCa::new("td.example");
    let (identity, publisher, _hand) = identity();
    publisher.publish(lasting(&ca, HOUR), ca.bundles(), Vec::new()).unwrap();
    publisher.failed(&std::io::Error::other("x"));
    let evil = ca.issue_with(ID, |params| {
        params.subject_alt_names.push(SanType::URI("https://x".try_into().unwrap()));
    });
    let error = identity.verify(&evil.chain, crate::verify::Role::Client).unwrap_err();
    identity.counters().count_refused(crate::verify::Role::Client, &error);
    let metrics = IdentityMetrics::default();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    metrics.set(vec![identity]);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "diolkos_identity_certificate_expiry_timestamp_seconds{identity=\"gw\"} 1780003600",
        "diolkos_identity_generation{identity=\"gw\"} 1",
        "diolkos_identity_ready{identity=\"gw\"} 1",
        "diolkos_identity_renewals_total{identity=\"gw\",result=\"ok\"} 1",
        "diolkos_identity_renewals_total{identity=\"gw\",result=\"failed\"} 1",
        "diolkos_identity_handshakes_refused_total{identity=\"gw\",peer=\"client\",reason=\"several_uris\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} not in {text}");
    }
}

/// Warnings of one thread, as `message identity=… percent_left=…`.
#[derive(Clone, Default)]
struct Warnings(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        } else if field.name() == "percent_left" {
            write!(self.0, " {value:?}").unwrap();
        }
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// At 50 (if a renewal has failed), 25 and 10 percent of the life, and at its end.
#[tokio::test(start_paused = true)]
async fn alarms_are_given_while_life_runs_out() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let ca = TestCa::new("td.example");
    let clock = Clock::tokio(start());
    let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock.clone());
    publisher.publish(lasting(&ca, HOUR), ca.bundles(), Vec::new()).unwrap();
    clock.sleep_until(start() + HOUR * 51 / 100).await;
    assert_eq!(*warnings.0.lock().unwrap(), Vec::<String>::new());
    publisher.failed(&std::io::Error::other("the CA is away"));
    let mut changed = identity.changed();
    changed.mark_unchanged();
    changed.changed().await.unwrap();
    assert_eq!(
        *warnings.0.lock().unwrap(),
        [
            "Identity renewal failed",
            "Identity is not renewed yet 25",
            "Identity is not renewed yet 10",
            "Identity has ended: mesh connections are refused",
        ]
    );
}
