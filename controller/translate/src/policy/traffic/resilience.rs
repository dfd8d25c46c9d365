//! `timeouts` and `retry` of a TrafficPolicy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::own::{RetryOn, TrafficPolicy};
use model::{Forward, Origin, Retry, RetryBudget};

use super::{Levels, Picked};
use crate::routes::{DEFAULT_BACKOFF, Own, origin};

type SetBy = BTreeMap<Arc<str>, Origin>;

/// Adds time limits and retries.
pub(super) fn apply(
    levels: &Levels<'_, TrafficPolicy>,
    forward: &mut Forward,
    own: &Own,
    set_by: &mut SetBy,
) {
    let timeouts = &mut forward.timeouts;
    let limit = |picked: api::duration::Duration| Some(picked.get()).filter(|limit| !limit.is_zero());
    let mut merge = Merge { set_by };
    let request = levels.pick(|policy| policy.spec.timeouts.as_ref()?.request);
    let request = merge.field("timeouts.request", request, own.request_timeout);
    timeouts.request = request.map_or(timeouts.request, limit);
    let per_try = levels.pick(|policy| policy.spec.timeouts.as_ref()?.per_try);
    let per_try = merge.field("timeouts.perTry", per_try, own.try_timeout);
    timeouts.backend_request = per_try.map_or(timeouts.backend_request, limit);
    let idle = levels.pick(|policy| policy.spec.timeouts.as_ref()?.idle);
    let idle = merge.field("timeouts.idle", idle, false);
    timeouts.idle = idle.map_or(Some(DEFAULT_IDLE), limit);
    forward.retry =
        Some(retry(levels, forward.retry.take(), own, &mut merge)).filter(|retry| retry.attempts > 0);
}

/// Retries; none come of 0 attempts.
fn retry(
    levels: &Levels<'_, TrafficPolicy>,
    written: Option<Retry>,
    own: &Own,
    merge: &mut Merge<'_>,
) -> Retry {
    let is_own = written.is_some();
    let mut retry = written.unwrap_or_else(default_retry);
    let attempts = levels.pick(|policy| policy.spec.retry.as_ref()?.attempts);
    retry.attempts = merge.field("retry.attempts", attempts, is_own).unwrap_or(retry.attempts);
    let on = levels.pick(|policy| policy.spec.retry.as_ref()?.on.as_ref());
    if let Some(on) = merge.field("retry.on", on, is_own) {
        // The two are one to the proxy: in both cases the backend has processed nothing.
        retry.connect_failure = on.contains(&RetryOn::ConnectFailure) || on.contains(&RetryOn::RefusedStream);
        retry.reset = on.contains(&RetryOn::Reset);
        let codes = on.iter().filter_map(|on| match on {
            RetryOn::Status(code) => Some(*code),
            RetryOn::ConnectFailure | RetryOn::RefusedStream | RetryOn::Reset => None,
        });
        retry.codes = codes.collect();
        retry.codes.sort_unstable();
        retry.codes.dedup();
    }
    let backoff = levels.pick(|policy| policy.spec.retry.as_ref()?.backoff);
    retry.backoff = merge.field("retry.backoff", backoff, own.backoff).map_or(retry.backoff, Into::into);
    let percent = levels.pick(|policy| policy.spec.retry.as_ref()?.budget.as_ref()?.percent);
    let percent = merge.field("retry.budget.percent", percent, false);
    let per_second = levels.pick(|policy| policy.spec.retry.as_ref()?.budget.as_ref()?.min_per_second);
    let per_second = merge.field("retry.budget.minPerSecond", per_second, false);
    if levels.iter().any(|policy| policy.spec.retry.is_some()) {
        retry.budget = Some(RetryBudget {
            percent: percent.unwrap_or(20),
            min_per_second: per_second.unwrap_or(10),
            interval: BUDGET_INTERVAL,
        });
    }
    retry
}

/// What holds if nobody says anything: once, if nothing was processed.
fn default_retry() -> Retry {
    Retry {
        attempts: 1,
        codes: Vec::new(),
        connect_failure: true,
        reset: false,
        backoff: DEFAULT_BACKOFF,
        budget: None,
    }
}

struct Merge<'s> {
    set_by: &'s mut SetBy,
}

impl Merge<'_> {
    /// A policy's word, if it holds: nothing narrower is said, or it is enforced.
    fn field<T>(
        &mut self,
        field: &str,
        picked: Option<Picked<'_, TrafficPolicy, T>>,
        is_own: bool,
    ) -> Option<T> {
        let picked = picked.filter(|picked| picked.enforced || !is_own)?;
        self.set_by.insert(field.into(), origin(&picked.by.key()));
        Some(picked.value)
    }
}

/// Requests without a byte in either direction end after this.
const DEFAULT_IDLE: Duration = Duration::from_secs(300);

/// The window of a retry budget; the API has no field for it.
const BUDGET_INTERVAL: Duration = Duration::from_secs(10);
