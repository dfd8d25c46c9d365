//! The wall clock: the system's, tokio's, or one that a test turns by hand.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells the time and waits for a time. Certificates are about wall-clock time, which can jump.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Tokio {
        start: SystemTime,
        since: Instant,
    },
    Hand(watch::Receiver<SystemTime>),
}

/// Turns a clock of [`Clock::by_hand`].
#[derive(Debug)]
pub struct Hand(watch::Sender<SystemTime>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Starts at `start` and goes on with tokio's clock: in a test with paused time, it stands still with it.
    pub fn tokio(start: SystemTime) -> Self {
        Self(Source::Tokio { start, since: Instant::now() })
    }

    /// Stands at `start` until the hand moves it.
    pub fn by_hand(start: SystemTime) -> (Self, Hand) {
        let (sender, receiver) = watch::channel(start);
        (Self(Source::Hand(receiver)), Hand(sender))
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Tokio { start, since } => *start + since.elapsed(),
            Source::Hand(receiver) => *receiver.borrow(),
        }
    }

    /// Waits until it is `deadline` or later; cancel-safe.
    pub async fn sleep_until(&self, deadline: SystemTime) {
        match &self.0 {
            Source::System => {
                // The system's clock can jump while we sleep, so look at it now and then.
                while let Ok(left) = deadline.duration_since(self.now()) {
                    if left.is_zero() {
                        return;
                    }
                    tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                }
            }
            Source::Tokio { .. } => {
                if let Ok(left) = deadline.duration_since(self.now()) {
                    tokio::time::sleep(left).await;
                }
            }
            Source::Hand(receiver) => {
                let reached = receiver.clone().wait_for(|now| *now >= deadline).await.is_ok();
                if !reached {
                    // Nobody holds the hand any more: this time never comes.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl Hand {
    /// Sets the time; backwards is allowed, as NTP does it.
    pub fn set(&self, now: SystemTime) {
        self.0.send_replace(now);
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

/// How long a jump of the system's clock may go unseen.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hand_wakes_the_sleeper() {
        let start = SystemTime::UNIX_EPOCH;
        let (clock, hand) = Clock::by_hand(start);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(start + Duration::from_secs(5)).await }
        });
        hand.advance(Duration::from_secs(4));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now(), start + Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_passes_by_sleeping() {
        let start = SystemTime::UNIX_EPOCH;
        let clock = Clock::tokio(start);
        clock.sleep_until(start + Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), start + Duration::from_secs(3600));
    }
}
