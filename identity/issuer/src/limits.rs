//! How much is taken on: by each caller, and by all.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;
use crate::settings::Limits;

/// The gates before a signature.
#[derive(Debug)]
pub(crate) struct Gates {
    callers: DefaultKeyedRateLimiter<String>,
    /// Those who sign and those who wait to.
    queue: Arc<Semaphore>,
    signing: Arc<Semaphore>,
    checks: AtomicU64,
}

/// A place among those who sign.
#[derive(Debug)]
pub(crate) struct Place {
    _queue: OwnedSemaphorePermit,
    _signing: OwnedSemaphorePermit,
}

impl Gates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.caller_rate))
            .allow_burst(at_least_one(limits.caller_burst));
        Self {
            callers: RateLimiter::keyed(quota),
            queue: Arc::new(Semaphore::new(limits.signing.max(1) + limits.queue)),
            signing: Arc::new(Semaphore::new(limits.signing.max(1))),
            checks: AtomicU64::new(0),
        }
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`].
    pub(crate) fn check(&self, caller: &str) -> Result<(), Refusal> {
        // The limiter remembers every key until it is told to forget those that have recovered.
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.callers.retain_recent();
            self.callers.shrink_to_fit();
        }
        self.callers.check_key(&caller.to_owned()).map_err(|_| Refusal::RateLimited)
    }

    /// Waits for a place among those who sign.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`], at once, if too many wait already.
    pub(crate) async fn enter(&self) -> Result<Place, Refusal> {
        let queue = self.queue.clone().try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let signing = self.signing.clone().acquire_owned().await.map_err(|_| Refusal::Overloaded)?;
        Ok(Place { _queue: queue, _signing: signing })
    }
}

/// Requests between two clean-ups of the rate limiter.
const FORGET_EVERY: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_cannot_wait_are_refused_at_once() {
        let gates = Arc::new(Gates::new(&Limits { signing: 1, queue: 1, ..Limits::default() }));
        let signing = gates.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.enter().await.map(drop) }
        });
        while gates.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gates.enter().await.unwrap_err(), Refusal::Overloaded);
        drop(signing);
        waiting.await.unwrap().unwrap();
        gates.enter().await.unwrap();
    }

    #[test]
    fn callers_that_have_recovered_are_forgotten() {
        let limits = Limits { caller_rate: 1_000_000_000, caller_burst: 1, ..Limits::default() };
        let gates = Gates::new(&limits);
        for number in 0..FORGET_EVERY * 4 {
            let _ = gates.check(&number.to_string());
        }
        assert!(gates.callers.len() <= usize::try_from(FORGET_EVERY).unwrap() + 1, "{}", gates.callers.len());
    }
}
