//! When a certificate is renewed: a pure schedule.
//!
//! Two kinds of time meet here. A renewal is due at a wall-clock instant, as certificates are about wall-clock time,
//! and is worked out anew whenever the driver looks. A retry is a length of time, waited for on the monotonic clock,
//! so that a clock set back by a day does not silence the retries for a day.

use std::time::{Duration, SystemTime};

/// The rules of one kind of source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The part of a certificate's life after which it is renewed, in (0, 1).
    pub fraction: f64,
    /// How far the jitter moves that part, up and down, in [0, 0.25].
    pub spread: f64,
    /// No renewal earlier than this after the last one.
    pub shortest: Duration,
    /// No renewal later than this after the last one.
    pub longest: Duration,
}

/// A certificate that is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// When it came. CAs backdate `not_before` (Istio's by two minutes), which would make short lives look half spent
    /// on arrival.
    pub received: SystemTime,
}

impl Schedule {
    /// Half of the life, as Istio's agents do it, with a wider spread: many gateways that started together should not
    /// renew together. Once a week at least, as the mesh's roots come with the answer.
    pub const HALF_LIFE: Self = Self {
        fraction: 0.5,
        spread: 0.05,
        shortest: Duration::from_millis(500),
        longest: Duration::from_secs(7 * DAY),
    };

    /// 70 % of the life between ten seconds and a day, as Linkerd's proxies do it. A life too short for ten seconds
    /// is renewed before it ends all the same.
    pub const LINKERD: Self = Self {
        fraction: 0.7,
        spread: 0.02,
        shortest: Duration::from_secs(10),
        longest: Duration::from_secs(DAY),
    };

    /// When a certificate is renewed. `jitter` in [0, 1) is drawn once for each certificate.
    ///
    /// `now` only matters if it lies before the certificate's life (the clock was set back): then it is due at once,
    /// since whether the clock was wrong then or is wrong now cannot be known.
    pub fn renewal(&self, held: Held, now: SystemTime, jitter: f64) -> SystemTime {
        if now < held.not_before {
            return now;
        }
        let start = held.received.max(held.not_before);
        let left = held.not_after.duration_since(start).unwrap_or_default();
        let fraction = self.fraction + (unit(jitter) * 2.0 - 1.0) * self.spread;
        let wait = left.mul_f64(fraction.clamp(0.0, 1.0)).min(self.longest);
        // The floor spares the CA, but the certificate must not end under it.
        let floor = self.shortest.min(left.mul_f64(LATEST)).max(BREATH);
        add(start, wait.max(floor))
    }
}

/// How long to wait after a failure. `failures` counts those in a row, this one included; `jitter` in [0, 1) is drawn
/// for each. `not_after` is the end of the certificate that is still held, if any.
///
/// From one second, doubling, ±20 %, never more than 150 s; never beyond a last attempt that can still succeed before
/// the certificate ends; and never more than 30 s when there is none, as the mesh is cut off meanwhile.
pub fn retry_after(not_after: Option<SystemTime>, now: SystemTime, jitter: f64, failures: u32) -> Duration {
    let exponent = failures.saturating_sub(1).min(16);
    let base = FIRST_RETRY.saturating_mul(1 << exponent);
    let wait = spread(base.min(LONGEST_RETRY), jitter).min(LONGEST_RETRY);
    match not_after.and_then(|end| end.duration_since(now).ok()).filter(|left| !left.is_zero()) {
        None => wait.min(LONGEST_RETRY_WITHOUT),
        Some(left) => match left.checked_sub(LAST_ATTEMPT.min(left.mul_f64(1.0 - LATEST))) {
            Some(until_last) if until_last > FIRST_RETRY => wait.min(until_last),
            // The last attempt has failed too: go on at the quickest pace.
            _ => wait.min(spread(FIRST_RETRY, jitter)),
        },
    }
}

/// How long to wait after an answer that will not change by asking again (a request that breaks the CA's rules, a
/// service that is not there): the longest pause, as nothing but a change on the other side helps.
pub fn retry_after_refusal(jitter: f64) -> Duration {
    spread(LONGEST_RETRY, jitter).min(LONGEST_RETRY)
}

fn spread(base: Duration, jitter: f64) -> Duration {
    base.mul_f64(0.8 + 0.4 * unit(jitter))
}

/// Jitter as given, made harmless.
fn unit(jitter: f64) -> f64 {
    if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 }
}

fn add(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

const DAY: u64 = 24 * 60 * 60;
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// ztunnel's cap.
const LONGEST_RETRY: Duration = Duration::from_secs(150);
const LONGEST_RETRY_WITHOUT: Duration = Duration::from_secs(30);
/// The last attempt begins this long before the end: connecting and asking together take at most 15 s.
const LAST_ATTEMPT: Duration = Duration::from_secs(20);
/// The part of its life after which a certificate is renewed at the latest.
const LATEST: f64 = 0.9;
/// A certificate that is expired on arrival, or nearly, does not make the CA's day a busy loop.
const BREATH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
