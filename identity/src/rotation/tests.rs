//! The schedule, by example and by property.

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn held(not_before: u64, not_after: u64, received: u64) -> Held {
    Held { not_before: at(not_before), not_after: at(not_after), received: at(received) }
}

const HOUR: u64 = 3600;

#[test]
fn a_day_is_renewed_around_its_half() {
    let held = held(0, 24 * HOUR, 0);
    let due = |jitter| Schedule::HALF_LIFE.renewal(held, at(0), jitter);
    assert_eq!(due(0.5), at(12 * HOUR));
    assert_eq!(due(0.0), at(0) + Duration::from_secs(24 * HOUR).mul_f64(0.45));
    assert!(due(0.999) <= at(0) + Duration::from_secs(24 * HOUR).mul_f64(0.55));
}

#[test]
fn two_seconds_are_renewed_every_second_even_if_backdated() {
    let held = held(0, 122, 120);
    assert_eq!(Schedule::HALF_LIFE.renewal(held, at(120), 0.5), at(121));
}

#[test]
fn linkerd_is_renewed_at_seventy_percent_between_ten_seconds_and_a_day() {
    let due = |life, jitter| Schedule::LINKERD.renewal(held(0, life, 0), at(0), jitter);
    assert_eq!(due(100, 0.5), at(70));
    assert_eq!(due(12, 0.5), at(10));
    assert_eq!(due(100 * 24 * HOUR, 0.5), at(24 * HOUR));
    // Ten seconds do not fit into five.
    assert!(due(5, 0.5) < at(5));
}

#[test]
fn a_clock_set_back_before_the_life_renews_at_once_and_one_within_it_changes_nothing() {
    let held = held(0, 24 * HOUR, 0);
    let day = Duration::from_secs(DAY);
    assert_eq!(Schedule::HALF_LIFE.renewal(held, at(0) - day, 0.5), at(0) - day);
    assert_eq!(Schedule::HALF_LIFE.renewal(held, at(HOUR), 0.5), at(12 * HOUR));
    // A day ahead: the instant has passed, so it is due.
    assert!(Schedule::HALF_LIFE.renewal(held, at(HOUR) + day, 0.5) < at(HOUR) + day);
}

#[test]
fn retries_double_to_the_cap() {
    let waits: Vec<u64> =
        (1..=10).map(|failures| retry_after(Some(at(24 * HOUR)), at(0), 0.5, failures).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
    assert_eq!(retry_after(Some(at(24 * HOUR)), at(0), 0.5, u32::MAX).as_secs(), 150);
}

#[test]
fn nothing_held_is_asked_for_at_least_every_half_minute() {
    assert_eq!(retry_after(None, at(0), 0.5, 20).as_secs(), 30);
    assert_eq!(retry_after(Some(at(0)), at(1), 0.5, 20).as_secs(), 30);
}

#[test]
fn the_last_attempt_comes_before_the_end() {
    assert_eq!(retry_after(Some(at(100)), at(0), 0.5, 9).as_secs(), 90);
    assert_eq!(retry_after(Some(at(1000)), at(900), 0.5, 9), Duration::from_secs(90));
    assert!(retry_after(Some(at(10)), at(0), 0.5, 9) <= Duration::from_secs(9));
    assert!(retry_after(Some(at(2)), at(1), 0.5, 1) <= Duration::from_secs(1));
}

proptest! {
    #[test]
    fn a_renewal_lies_within_the_life(
        start in 0_u64..10_000_000, life in 1_u64..100_000_000, age in 0.0..0.99_f64, jitter in 0.0..1.0_f64,
    ) {
        for schedule in [Schedule::HALF_LIFE, Schedule::LINKERD] {
            let not_before = at(start);
            let life = Duration::from_secs(life);
            let received = not_before + life.mul_f64(age);
            let held = Held { not_before, not_after: not_before + life, received };
            let due = schedule.renewal(held, received, jitter);
            prop_assert!(due > received);
            let left = held.not_after.duration_since(received).unwrap();
            prop_assert!(due <= (held.not_after).max(received + BREATH), "{left:?}");
            prop_assert!(due <= received + schedule.longest);
        }
    }

    #[test]
    fn nonsense_neither_panics_nor_spins(
        not_before in 0_u64..u64::from(u32::MAX), not_after in 0_u64..u64::from(u32::MAX),
        received in 0_u64..u64::from(u32::MAX), now in 0_u64..u64::from(u32::MAX),
        jitter in proptest::num::f64::ANY, failures in any::<u32>(),
    ) {
        let held = held(not_before, not_after, received);
        let due = Schedule::HALF_LIFE.renewal(held, at(now), jitter);
        prop_assert!(now < not_before || due >= held.received + BREATH);
        let wait = retry_after(Some(held.not_after), at(now), jitter, failures);
        prop_assert!(wait >= Duration::from_millis(799) && wait <= LONGEST_RETRY, "{wait:?}");
        prop_assert!(retry_after_refusal(jitter) <= LONGEST_RETRY);
    }

    #[test]
    fn a_retry_never_sleeps_over_the_end(left in 25_u64..1_000_000, jitter in 0.0..1.0_f64, failures in 1_u32..40) {
        let wait = retry_after(Some(at(left)), at(0), jitter, failures);
        prop_assert!(at(0) + wait < at(left));
    }

    #[test]
    fn fleets_spread(first in 0.0..1.0_f64, second in 0.0..1.0_f64) {
        let due = |jitter| Schedule::HALF_LIFE.renewal(held(0, 24 * HOUR, 0), at(0), jitter);
        if (first - second).abs() > 0.01 {
            prop_assert_ne!(due(first), due(second));
        }
    }
}
