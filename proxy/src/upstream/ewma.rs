//! Latency as a peak-sensitive moving average: it jumps up at once and comes down over ten seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::upstream::clock::{Moment, nanos};

/// The average of one endpoint. Cores write it without a lock: a lost update costs one sample.
#[derive(Debug, Default)]
pub struct Ewma {
    /// Bits of an `f64` of nanoseconds; 0 until the first sample.
    average: AtomicU64,
    /// When it was last written.
    stamp: AtomicU64,
}

impl Ewma {
    /// Notes that an answer took `latency`.
    pub(crate) fn note(&self, latency: Duration, now: Moment) {
        #[expect(clippy::cast_precision_loss, reason = "a latency of 104 days may lose a nanosecond")]
        let sample = (nanos(latency).max(1)) as f64;
        let next = match self.at(now) {
            Some(average) if sample <= average => {
                let weight = decay(now.since(Moment(self.stamp.load(Ordering::Relaxed))));
                // `at` has already decayed the old average towards nothing; the sample fills what it lost.
                average + sample * (1.0 - weight)
            }
            Some(_) | None => sample,
        };
        self.average.store(next.to_bits(), Ordering::Relaxed);
        self.stamp.store(now.0, Ordering::Relaxed);
    }

    /// The average at `now`, in nanoseconds: it fades while nothing is heard, so that a slow endpoint is asked
    /// again. None until the first sample.
    pub(crate) fn at(&self, now: Moment) -> Option<f64> {
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        let age = now.since(Moment(self.stamp.load(Ordering::Relaxed)));
        (average > 0.0).then(|| average * decay(age))
    }
}

/// The share of an average that is left after `age`.
fn decay(age: Duration) -> f64 {
    (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

/// The time in which an old average falls to 1/e.
const DECAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(0).plus(Duration::from_secs(1000)).plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let ewma = Ewma::default();
        assert_eq!(ewma.at(at(0)), None);
        ewma.note(Duration::from_millis(10), at(0));
        assert_eq!(ewma.at(at(0)), Some(1e7));
        ewma.note(Duration::from_millis(500), at(10));
        assert_eq!(ewma.at(at(10)), Some(5e8));
        let later = ewma.at(at(10_010)).unwrap();
        assert!((later / 5e8 - (-1.0_f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn steady_samples_keep_the_average_steady() {
        let ewma = Ewma::default();
        for step in 0..1000 {
            ewma.note(Duration::from_millis(20), at(step * 10));
        }
        let average = ewma.at(at(9_990)).unwrap();
        assert!((average / 2e7 - 1.0).abs() < 1e-6, "{average}");
    }

    #[test]
    fn it_comes_down_to_faster_answers() {
        let ewma = Ewma::default();
        ewma.note(Duration::from_secs(1), at(0));
        for step in 1..=600 {
            ewma.note(Duration::from_millis(10), at(step * 100));
        }
        let average = ewma.at(at(60_000)).unwrap();
        assert!(average < 2e7, "{average}");
    }
}
