//! A CA that is away, hangs, is slow, refuses; and a wall clock that jumps.

use std::time::{Duration, SystemTime};

use tonic::Code;

use super::istio_ca::{ADDRESS, Lab, Mood};
use super::{clock, failure, generation, start_time, until};
use crate::clock::Clock;
use crate::testing::TestCa;

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_not_there_is_asked_until_it_is() {
    let lab = Lab::new(clock());
    let (identity, _running) = lab.start();
    let status =
        failure(&identity, "cannot be reached: no connection to istiod.istio-system.svc:15012").await;
    assert!(!status.ready && identity.material().is_none(), "closed");
    until(&identity, |status| status.failures >= 8).await;
    // 1 + 2 + 4 + 8 + 16 + 30 + 30: no storm, but no long silence either while the mesh is cut off.
    let elapsed = lab.fake.clock.now().duration_since(start_time()).unwrap().as_secs();
    assert!((70..=115).contains(&elapsed), "{elapsed}");
    lab.serve();
    generation(&identity, 1).await;
    assert_eq!((identity.status().failures, identity.status().last_error), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_costs_five_seconds() {
    let lab = Lab::new(clock());
    lab.net.black_hole(ADDRESS);
    let (identity, _running) = lab.start();
    failure(&identity, "no connection to istiod.istio-system.svc:15012 within 5 s").await;
    let elapsed = lab.fake.clock.now().duration_since(start_time()).unwrap();
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_costs_five_seconds() {
    let lab = Lab::new(clock());
    let _held = lab.net.listen(ADDRESS);
    let (identity, _running) = lab.start();
    failure(&identity, "within 5 s").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_ca_costs_ten_seconds_and_what_is_held_stays() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, running) = lab.start();
    let held = generation(&identity, 1).await;
    lab.fake.mood(Mood::Silent);
    running.renew();
    let status = failure(&identity, "did not answer within 10 s").await;
    assert!(status.ready, "{status:?}");
    assert_eq!(identity.material().unwrap().svid, held.svid);
}

#[tokio::test(start_paused = true)]
async fn a_slow_ca_is_waited_for() {
    let lab = Lab::new(clock());
    lab.fake.mood(Mood::Slow(Duration::from_secs(9)));
    lab.serve();
    let (identity, _running) = lab.start();
    generation(&identity, 1).await;
    assert_eq!(identity.status().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_serves_to_its_end_and_then_everything_is_closed() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, _running) = lab.start();
    let held = generation(&identity, 1).await;
    lab.fake.mood(Mood::Status(Code::Unavailable, "CA_NOT_READY"));
    failure(&identity, "the source answers Unavailable: \"CA_NOT_READY\"").await;
    until(&identity, |status| {
        // Ready until the very end, never after.
        assert_eq!(status.ready, lab.fake.clock.now() < held.svid.not_after());
        !status.ready
    })
    .await;
    assert!(identity.material().is_none());
    // The attempts are not so rare that the end comes between two of them.
    let calls = lab.fake.calls();
    assert!((18..=40).contains(&calls), "{calls}");
    lab.fake.mood(Mood::Good);
    generation(&identity, 2).await;
    let after = lab.fake.clock.now().duration_since(held.svid.not_after()).unwrap();
    assert!(after < Duration::from_secs(35), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_the_rules_is_not_repeated_in_a_storm() {
    for (code, words) in
        [(Code::InvalidArgument, "refuses the request"), (Code::Unimplemented, "does not offer")]
    {
        let lab = Lab::new(clock());
        lab.fake.mood(Mood::Status(code, "requested cert TTL 2400h is greater than the max allowed"));
        lab.serve();
        let (identity, _running) = lab.start();
        failure(&identity, words).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(lab.fake.calls(), 1, "{code:?}");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(lab.fake.calls(), 2, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_said_and_tried_again() {
    let lab = Lab::new(clock());
    // A CA that quotes the token.
    lab.fake.mood(Mood::Status(Code::Unauthenticated, "bad token token-one in token-one"));
    lab.serve();
    let (identity, _running) = lab.start();
    let status = failure(&identity, "does not accept our credentials (Unauthenticated)").await;
    let error = status.last_error.unwrap();
    assert!(!error.contains("token-one") && error.contains("[redacted]"), "{error}");
    lab.fake.mood(Mood::Good);
    generation(&identity, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_there_is_said() {
    let lab = Lab::new(clock());
    lab.serve();
    lab.write("token", " \n");
    let (identity, _running) = lab.start();
    failure(&identity, "holds no token").await;
    std::fs::remove_file(lab.path("token")).unwrap();
    failure(&identity, "the token cannot be read").await;
    assert_eq!(lab.fake.calls(), 0);
    lab.write("token", "token-one");
    generation(&identity, 1).await;
}

#[tokio::test(start_paused = true)]
async fn no_token_goes_to_a_server_that_is_not_the_ca() {
    // Of another root; of the right root and another name.
    let lab = Lab::new(clock());
    lab.serve_by(&TestCa::new("istiod.test"), "istiod.istio-system.svc");
    let (identity, _running) = lab.start();
    failure(&identity, "TLS with istiod.istio-system.svc:15012 failed: peer is not trusted").await;
    lab.serve_by(&lab.control, "istiod.evil.svc");
    let before = identity.status().failures;
    until(&identity, |status| status.failures > before + 1).await;
    assert_eq!(lab.fake.calls(), 0);
    lab.serve();
    generation(&identity, 1).await;
}

#[tokio::test(start_paused = true)]
async fn roots_that_cannot_be_read_ask_nobody() {
    let lab = Lab::new(clock());
    lab.serve();
    lab.write("root-cert.pem", "no PEM");
    let (identity, _running) = lab.start();
    failure(&identity, "TLS to the source cannot be set up").await;
    std::fs::remove_file(lab.path("root-cert.pem")).unwrap();
    failure(&identity, "the roots to verify the source by cannot be read").await;
    assert_eq!(lab.fake.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_day_ahead_renews_at_once() {
    let (clock, hand) = Clock::by_hand(start_time());
    let lab = Lab::new(clock);
    lab.serve();
    let (identity, _running) = lab.start();
    let held = generation(&identity, 1).await;
    hand.advance(Duration::from_secs(86400));
    assert!(identity.material().is_none(), "ended, by the clock");
    let next = generation(&identity, 2).await;
    assert!(next.svid.not_after() > held.svid.not_after() + Duration::from_secs(80000));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_a_day_renews_and_retries_go_on() {
    let (clock, hand) = Clock::by_hand(start_time());
    let lab = Lab::new(clock);
    lab.serve();
    let (identity, _running) = lab.start();
    generation(&identity, 1).await;
    lab.fake.mood(Mood::Status(Code::Unavailable, ""));
    hand.set(start_time() - Duration::from_secs(86400));
    // Set back again while it waits to try again: the waiting is not by this clock.
    until(&identity, |status| status.failures >= 3).await;
    hand.set(start_time() - Duration::from_secs(2 * 86400));
    until(&identity, |status| status.failures >= 6).await;
    lab.fake.mood(Mood::Good);
    let next = generation(&identity, 2).await;
    let ends: SystemTime = next.svid.not_after();
    assert!(ends < start_time(), "by the clock as it is now");
}
