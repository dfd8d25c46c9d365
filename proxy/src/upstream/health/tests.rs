//! Verdicts and intervals of health checks, without sockets.

use super::*;

fn policy() -> ActiveHealth {
    ActiveHealth {
        probe: model::Probe::Tcp,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    }
}

#[test]
fn thresholds_decide_after_the_first_answer() {
    let (mut streak, policy) = (Streak::default(), policy());
    assert_eq!(streak.note(false, &policy), Some(false), "the first decides at once");
    assert_eq!(streak.note(true, &policy), None);
    assert_eq!(streak.note(false, &policy), None);
    assert_eq!(streak.note(true, &policy), None, "not two in a row");
    assert_eq!(streak.note(true, &policy), Some(true));
    assert_eq!(streak.note(false, &policy), None);
    assert_eq!(streak.note(false, &policy), None);
    assert_eq!(streak.note(false, &policy), Some(false));
}

#[test]
fn a_threshold_of_zero_is_one() {
    let policy = ActiveHealth { unhealthy_threshold: 0, ..policy() };
    let mut streak = Streak::default();
    assert_eq!(streak.note(true, &policy), Some(true));
    assert_eq!(streak.note(false, &policy), Some(false));
}

#[test]
fn intervals_vary_by_a_tenth() {
    assert_eq!(jittered(Duration::from_secs(10), 0.0), Duration::from_secs(9));
    assert_eq!(jittered(Duration::from_secs(10), 0.5), Duration::from_secs(10));
    assert!(jittered(Duration::from_secs(10), 0.999_999) < Duration::from_secs(11));
}
