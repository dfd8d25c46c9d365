//! A bound on TLS handshakes at once, which slow ones cannot use up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

/// Handshakes under way on one worker. A turn begins when the ClientHello is complete: a client that
/// dribbles it holds none.
#[derive(Debug)]
pub struct Handshakes {
    turns: Semaphore,
    waiting: AtomicUsize,
    contended: Notify,
}

/// A handshake's place.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    handshakes: &'a Handshakes,
    _permit: SemaphorePermit<'a>,
}

impl Handshakes {
    /// At most that many at once.
    pub fn new(limit: usize) -> Self {
        Self { turns: Semaphore::new(limit), waiting: AtomicUsize::new(0), contended: Notify::new() }
    }

    /// Waits for a turn until `deadline`.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<Turn<'_>> {
        if let Ok(permit) = self.turns.try_acquire() {
            return Some(Turn { handshakes: self, _permit: permit });
        }
        let _waiting = Waiting::new(self);
        self.contended.notify_one();
        let permit = timeout_at(deadline, self.turns.acquire()).await.ok()?.ok()?;
        Some(Turn { handshakes: self, _permit: permit })
    }
}

impl Default for Handshakes {
    /// reliability-security.md §1.1: twice 64 for each core.
    fn default() -> Self {
        Self::new(128)
    }
}

impl Turn<'_> {
    /// Completes when this handshake has had a fair time and another one waits. One handshake gives way for
    /// each that waits.
    pub(super) async fn needed_by_others(&self) {
        sleep(FAIR).await;
        while self.handshakes.waiting.load(Ordering::Relaxed) == 0 {
            self.handshakes.contended.notified().await;
        }
    }
}

struct Waiting<'a>(&'a Handshakes);

impl<'a> Waiting<'a> {
    fn new(handshakes: &'a Handshakes) -> Self {
        handshakes.waiting.fetch_add(1, Ordering::Relaxed);
        Self(handshakes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// After its ClientHello an honest client needs one round trip, two with TLS 1.2.
const FAIR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_handshakes_give_way_to_waiting_ones() {
        let handshakes = Handshakes::new(1);
        let begin = Instant::now();
        let stalled = handshakes.turn(begin + Duration::from_secs(5)).await.unwrap();
        let stalling = async {
            stalled.needed_by_others().await;
            drop(stalled);
            begin.elapsed()
        };
        let waiting = async { handshakes.turn(begin + Duration::from_secs(5)).await.is_some() };
        let (cut, served) = tokio::join!(stalling, waiting);
        assert_eq!((cut, served), (Duration::from_secs(1), true));
        assert_eq!(handshakes.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_no_longer_than_the_deadline() {
        let handshakes = Handshakes::new(1);
        let begin = Instant::now();
        let _held = handshakes.turn(begin).await.unwrap();
        assert!(handshakes.turn(begin + Duration::from_secs(5)).await.is_none());
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
}
