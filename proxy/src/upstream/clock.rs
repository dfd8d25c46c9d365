//! Monotonic time as a number, so that it fits an atomic and arithmetic on it is pure.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the process first asked. Follows tokio's paused clock in tests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub struct Moment(pub u64);

/// An hour before the first use, so that early moments are not near zero and a paused clock cannot underflow.
static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(|| {
    let now = std::time::Instant::now();
    now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)
});

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let elapsed = Instant::now().into_std().saturating_duration_since(*ORIGIN);
        Self(nanos(elapsed))
    }

    /// Later by `span`; the far future at most.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// Time since `earlier`; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Whole nanoseconds of a span, 584 years at most.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
