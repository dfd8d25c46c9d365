//! When to rebuild: the first change after a quiet moment goes at once; a burst is held until it pauses.

use std::time::Duration;

use tokio::time::Instant;

/// A schedule of rebuilds. Pure: time comes in as an argument.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// The first and the last change that no rebuild has seen.
    pending: Option<(Instant, Instant)>,
    /// The last rebuild.
    rebuilt: Option<Instant>,
}

impl Gather {
    /// A change has come.
    pub(crate) fn change(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When the next rebuild is due; none while nothing has changed.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, last) = self.pending?;
        match self.rebuilt {
            Some(rebuilt) if first < rebuilt + HOLD => Some((last + HOLD).min(first + LONGEST_HOLD)),
            _ => Some(first),
        }
    }

    /// A rebuild that has seen every change so far has begun.
    pub(crate) fn rebuilt(&mut self, now: Instant) {
        self.pending = None;
        self.rebuilt = Some(now);
    }
}

/// A pause of this length ends a burst.
const HOLD: Duration = Duration::from_millis(100);
/// A burst is held no longer than this.
const LONGEST_HOLD: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_goes_at_once_and_a_burst_is_held() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut gather = Gather::default();
        assert_eq!(gather.due(), None);

        gather.change(at(0));
        assert_eq!(gather.due(), Some(at(0)));
        gather.rebuilt(at(0));
        assert_eq!(gather.due(), None);

        gather.change(at(10));
        assert_eq!(gather.due(), Some(at(110)));
        gather.change(at(90));
        assert_eq!(gather.due(), Some(at(190)));
        for millis in (100..600).step_by(50) {
            gather.change(at(millis));
        }
        assert_eq!(gather.due(), Some(at(510)), "a burst is held no longer than half a second");
        gather.rebuilt(at(510));

        gather.change(at(900));
        assert_eq!(gather.due(), Some(at(900)), "quiet again");
    }
}
