//! Outlier ejection: an endpoint that fails too often in a row is left out for a while, longer each time.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Outlier;
use tracing::info;

use crate::upstream::clock::{Moment, nanos};
use crate::upstream::endpoint::EndpointState;
use crate::upstream::handle::BackendHandle;

/// Notes an outcome at an endpoint: an answer below 500 or a made connection (`good`), or anything worse.
pub(crate) fn note(backend: &BackendHandle, endpoint: &EndpointState, good: bool, now: Moment) {
    let Some(policy) = &backend.spec.health.outlier else { return };
    if good {
        if endpoint.failures.load(Ordering::Relaxed) != 0 {
            endpoint.failures.store(0, Ordering::Relaxed);
        }
        return;
    }
    let failures = endpoint.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    if policy.consecutive_5xx == 0 || failures < policy.consecutive_5xx || endpoint.ejected(now) {
        return;
    }
    // A poisoned lock guards nothing but the decision itself.
    let _deciding = backend.live.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
    let members = backend.members();
    let ejected = members.iter().filter(|member| member.state.ejected(now)).count();
    if endpoint.ejected(now) || !place_left(ejected, members.len(), policy.max_ejected_percent) {
        return;
    }
    let span = eject(endpoint, policy, now);
    backend.live.metrics.ejections.inc();
    info!(backend = %backend.name, %endpoint, failures, ?span, "Endpoint is ejected");
}

/// Whether one more of `members` may be ejected.
fn place_left(ejected: usize, members: usize, max_percent: u32) -> bool {
    (ejected as u64 + 1) * 100 <= members as u64 * u64::from(max_percent)
}

/// Ejects: the n-th time for n spans, ten at most. A span without ejection takes one off n.
fn eject(endpoint: &EndpointState, policy: &Outlier, now: Moment) -> Duration {
    let ended = endpoint.ejected_until.load(Ordering::Relaxed);
    let quiet = nanos(now.since(Moment(ended))).checked_div(nanos(policy.ejection)).unwrap_or(0);
    let before = u64::from(endpoint.ejections.load(Ordering::Relaxed));
    let count =
        u32::try_from(before.saturating_sub(quiet)).unwrap_or(MAX_SPANS).saturating_add(1).min(MAX_SPANS);
    let span = policy.ejection.saturating_mul(count);
    endpoint.ejections.store(count, Ordering::Relaxed);
    endpoint.ejected_until.store(now.plus(span).0, Ordering::Relaxed);
    endpoint.failures.store(0, Ordering::Relaxed);
    span
}

/// The longest ejection, in spans.
const MAX_SPANS: u32 = 10;

#[cfg(test)]
mod tests;
