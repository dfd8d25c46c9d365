//! What is known of one name, and what may be done with it at a time. Pure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::upstream::clock::Moment;
use crate::upstream::resolve::Answer;

/// What is known of a name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    found: Option<Found>,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Found {
    addresses: Arc<[IpAddr]>,
    fresh_until: Moment,
}

/// An answer without addresses, remembered so that a dead name is not asked for with every request.
#[derive(Debug)]
struct Refusal {
    reason: Arc<str>,
    until: Moment,
}

/// What may be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Use these.
    Use(Arc<[IpAddr]>),
    /// There is nothing to use.
    Refuse(Arc<str>),
    /// Ask; these may be used while the answer is awaited.
    Ask { meanwhile: Option<Arc<[IpAddr]>> },
}

impl Known {
    pub(crate) fn judge(&self, now: Moment) -> Verdict {
        let refusal = self.refusal.as_ref().filter(|refusal| refusal.until > now);
        let Some(found) = &self.found else {
            return match refusal {
                Some(refusal) => Verdict::Refuse(Arc::clone(&refusal.reason)),
                None => Verdict::Ask { meanwhile: None },
            };
        };
        let age = now.since(found.fresh_until);
        let addresses = || Arc::clone(&found.addresses);
        match refusal {
            _ if age.is_zero() => Verdict::Use(addresses()),
            Some(_) if age < STALE_CAP => Verdict::Use(addresses()),
            Some(refusal) => Verdict::Refuse(Arc::clone(&refusal.reason)),
            None => Verdict::Ask { meanwhile: (age < GRACE).then(addresses) },
        }
    }

    pub(crate) fn learn(&mut self, answer: Answer, now: Moment) {
        match answer {
            Answer::Found { addresses, ttl } if !addresses.is_empty() => {
                let fresh_until = now.plus(ttl.clamp(MIN_TTL, MAX_TTL));
                self.found = Some(Found { addresses: addresses.into(), fresh_until });
                self.refusal = None;
            }
            Answer::Found { .. } | Answer::Absent => {
                // The name's owner has spoken: old addresses may belong to somebody else by now.
                self.found = None;
                self.refusal =
                    Some(Refusal { reason: "the name does not exist".into(), until: now.plus(ABSENT) });
            }
            Answer::Failed { reason } => {
                self.refusal = Some(Refusal { reason: reason.into(), until: now.plus(FAILED) });
            }
        }
    }
}

/// A TTL of 0 would ask with every connection.
const MIN_TTL: Duration = Duration::from_secs(1);
/// A wrong answer with a long TTL is out after this.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// An answer that ran out this recently is used while the next one is fetched: busy names never wait.
const GRACE: Duration = Duration::from_secs(30);
/// An old answer is used for this long while look-ups fail.
const STALE_CAP: Duration = Duration::from_secs(3600);
/// A missing name is asked for again after this (RFC 2308 allows more; names appear when services do).
const ABSENT: Duration = Duration::from_secs(5);
/// A failed look-up is tried again after this.
const FAILED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(0).plus(Duration::from_secs(100_000 + seconds))
    }

    fn found(last: u8, ttl: u64) -> Answer {
        Answer::Found { addresses: vec![[10, 0, 0, last].into()], ttl: Duration::from_secs(ttl) }
    }

    fn uses(known: &Known, now: u64) -> Option<u8> {
        match known.judge(at(now)) {
            Verdict::Use(addresses) | Verdict::Ask { meanwhile: Some(addresses) } => match addresses[0] {
                IpAddr::V4(ip) => Some(ip.octets()[3]),
                IpAddr::V6(_) => None,
            },
            Verdict::Refuse(_) | Verdict::Ask { meanwhile: None } => None,
        }
    }

    #[test]
    fn a_fresh_answer_is_used_and_an_old_one_asked_for_again() {
        let mut known = Known::default();
        assert_eq!(known.judge(at(0)), Verdict::Ask { meanwhile: None });
        known.learn(found(1, 60), at(0));
        assert!(matches!(known.judge(at(60)), Verdict::Use(_)));
        assert!(matches!(known.judge(at(61)), Verdict::Ask { meanwhile: Some(_) }));
        assert_eq!(known.judge(at(60 + 30)), Verdict::Ask { meanwhile: None }, "too old to be used unasked");
    }

    #[test]
    fn failures_leave_the_old_answer_up_to_the_cap() {
        let mut known = Known::default();
        known.learn(found(1, 60), at(0));
        known.learn(Answer::Failed { reason: "SERVFAIL".into() }, at(600));
        assert_eq!(uses(&known, 601), Some(1));
        assert_eq!(known.judge(at(603)), Verdict::Ask { meanwhile: None }, "asked again after the back-off");
        known.learn(Answer::Failed { reason: "SERVFAIL".into() }, at(60 + 3600));
        assert_eq!(known.judge(at(60 + 3601)), Verdict::Refuse("SERVFAIL".into()));
    }

    #[test]
    fn absence_is_believed_but_not_for_long() {
        let mut known = Known::default();
        known.learn(found(1, 60), at(0));
        known.learn(Answer::Absent, at(10));
        assert!(matches!(known.judge(at(11)), Verdict::Refuse(_)));
        assert_eq!(known.judge(at(15)), Verdict::Ask { meanwhile: None });
    }

    #[test]
    fn ttls_are_kept_within_bounds() {
        let mut known = Known::default();
        known.learn(found(1, 0), at(0));
        assert!(matches!(known.judge(at(1)), Verdict::Use(_)));
        known.learn(found(1, 1_000_000), at(0));
        assert!(matches!(known.judge(at(3601)), Verdict::Ask { .. }));
    }

    #[test]
    fn an_empty_answer_is_absence() {
        let mut known = Known::default();
        known.learn(Answer::Found { addresses: Vec::new(), ttl: Duration::from_secs(60) }, at(0));
        assert!(matches!(known.judge(at(1)), Verdict::Refuse(_)));
    }
}
