//! Retry budgets (GEP-3388): retries may be a share of the requests of late, plus a few that are always allowed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::RetryBudget;

use crate::upstream::clock::{Moment, nanos};

/// Requests and retries within the budget's interval, in ten steps. Shared by all cores without a lock: a race
/// at the turn of a step loses a few counts.
#[derive(Debug, Default)]
pub struct BudgetWindow {
    steps: [Step; STEPS],
}

#[derive(Debug, Default)]
struct Step {
    /// Which step of time the counts belong to.
    number: AtomicU64,
    requests: AtomicU32,
    retries: AtomicU32,
}

impl BudgetWindow {
    /// Notes a request; a retry is one too.
    pub fn note_request(&self, budget: &RetryBudget, now: Moment) {
        if let Some(step) = self.step(step_number(budget, now)) {
            step.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a retry is within the budget; it is counted if so.
    pub fn allow_retry(&self, budget: &RetryBudget, now: Moment) -> bool {
        let number = step_number(budget, now);
        let oldest = number.saturating_sub(STEPS as u64 - 1);
        let (mut requests, mut retries) = (0u64, 0u64);
        for step in &self.steps {
            if (oldest..=number).contains(&step.number.load(Ordering::Relaxed)) {
                requests += u64::from(step.requests.load(Ordering::Relaxed));
                retries += u64::from(step.retries.load(Ordering::Relaxed));
            }
        }
        // Retries are noted as requests when they are sent, but earn nothing.
        let originals = requests.saturating_sub(retries);
        let always = u64::from(budget.min_per_second) * budget.interval.as_secs().max(1);
        let allowed = (originals * u64::from(budget.percent) / 100).max(always);
        if retries >= allowed {
            return false;
        }
        if let Some(step) = self.step(number) {
            step.retries.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn step(&self, number: u64) -> Option<&Step> {
        let index = usize::try_from(number % STEPS as u64).ok()?;
        let step = self.steps.get(index)?;
        if step.number.swap(number, Ordering::Relaxed) != number {
            step.requests.store(0, Ordering::Relaxed);
            step.retries.store(0, Ordering::Relaxed);
        }
        Some(step)
    }
}

fn step_number(budget: &RetryBudget, now: Moment) -> u64 {
    now.0 / (nanos(budget.interval) / STEPS as u64).max(1)
}

const STEPS: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(0).plus(Duration::from_secs(10_000 + seconds))
    }

    fn budget(percent: u32, min_per_second: u32) -> RetryBudget {
        RetryBudget { percent, min_per_second, interval: Duration::from_secs(10) }
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let (window, budget) = (BudgetWindow::default(), budget(20, 0));
        (0..100).for_each(|_| window.note_request(&budget, at(0)));
        let mut allowed = 0;
        while window.allow_retry(&budget, at(1)) {
            window.note_request(&budget, at(1));
            allowed += 1;
        }
        assert_eq!(allowed, 20);
    }

    #[test]
    fn a_few_are_always_allowed() {
        let (window, budget) = (BudgetWindow::default(), budget(20, 1));
        assert_eq!((0..50).filter(|_| window.allow_retry(&budget, at(0))).count(), 10);
    }

    #[test]
    fn the_window_slides() {
        let (window, budget) = (BudgetWindow::default(), budget(10, 0));
        (0..100).for_each(|_| window.note_request(&budget, at(0)));
        assert!(window.allow_retry(&budget, at(9)));
        assert!(!window.allow_retry(&budget, at(11)), "the requests are too old");
    }
}
