//! Whether a failed try is followed by another, and when. GEP-1731.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use model::Retry;

use super::error::{Error, Retryable};
use crate::upstream::budget::BudgetWindow;
use crate::upstream::clock::Moment;
use crate::upstream::{BackendHandle, EndpointId};

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Retries<'r> {
    policy: Option<&'r Retry>,
    /// Of the rule's own budget.
    window: &'r BudgetWindow,
    made: u32,
    /// Endpoints that failed.
    pub(crate) excluded: Vec<EndpointId>,
}

/// The back-off grows by doubling, up to this many times its base (Envoy's default).
const MAX_BACKOFF_FACTOR: u32 = 10;

impl<'r> Retries<'r> {
    /// Begins with the first try, which the rule's own budget counts.
    pub(crate) fn new(policy: Option<&'r Retry>, window: &'r BudgetWindow) -> Self {
        if let Some(budget) = policy.and_then(|policy| policy.budget.as_ref()) {
            window.note_request(budget, Moment::now());
        }
        Self { policy, window, made: 0, excluded: Vec::new() }
    }

    /// Whether another try is possible at all, so that the request must be kept.
    pub(crate) fn armed(&self) -> bool {
        self.policy.is_some_and(|policy| self.made < policy.attempts)
    }

    /// Whether tries were made and none is left.
    pub(crate) fn exhausted(&self) -> bool {
        self.made > 0 && !self.armed()
    }

    /// Whether an answer is tried again.
    pub(crate) fn wants_status(&self, status: StatusCode) -> bool {
        self.armed() && self.policy.is_some_and(|policy| policy.codes.contains(&status.as_u16()))
    }

    /// Whether an error is tried again. What an endpoint may have processed is sent again only if the method
    /// allows it (RFC 9110 §9.2.2).
    pub(crate) fn wants_error(&self, error: &Error, method: &Method) -> bool {
        let Some(policy) = self.policy.filter(|_| self.armed()) else { return false };
        match error.retryable() {
            Retryable::No => false,
            Retryable::Refused => policy.connect_failure,
            Retryable::Sent => policy.reset && method.is_idempotent(),
            Retryable::TimedOut => {
                method.is_idempotent() || policy.codes.contains(&StatusCode::GATEWAY_TIMEOUT.as_u16())
            }
        }
    }

    /// Takes a retry from the rule's budget and the backend's, and counts it.
    pub(crate) fn take(&mut self, backend: &Arc<BackendHandle>) -> bool {
        let now = Moment::now();
        let own = self.policy.and_then(|policy| policy.budget.as_ref());
        let of_backend = backend.spec.retry_budget.as_ref();
        let allowed = own.is_none_or(|budget| self.window.allow_retry(budget, now))
            && of_backend.is_none_or(|budget| backend.live().budget.allow_retry(budget, now));
        if allowed {
            self.made += 1;
            if let Some(budget) = own {
                self.window.note_request(budget, now);
            }
        }
        allowed
    }

    /// How long to wait before the next try: half to all of the doubled base, so that clients spread.
    pub(crate) fn backoff(&self) -> Duration {
        let Some(policy) = self.policy else { return Duration::ZERO };
        let factor =
            1u32.checked_shl(self.made.saturating_sub(1)).unwrap_or(u32::MAX).min(MAX_BACKOFF_FACTOR);
        policy.backoff.saturating_mul(factor).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{UpstreamError, UpstreamErrorKind};

    fn policy() -> Retry {
        Retry {
            attempts: 2,
            codes: vec![503],
            connect_failure: true,
            reset: true,
            backoff: Duration::from_millis(20),
            budget: None,
        }
    }

    fn refused() -> Error {
        Error::Upstream(UpstreamError::unsent(UpstreamErrorKind::ConnectRefused))
    }

    fn reset() -> Error {
        Error::Upstream(UpstreamError::sent(UpstreamErrorKind::ResetBeforeResponse))
    }

    #[test]
    fn without_a_policy_nothing_is_tried_again() {
        let window = BudgetWindow::default();
        let retries = Retries::new(None, &window);
        assert!(!retries.armed() && !retries.wants_status(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!retries.wants_error(&refused(), &Method::GET));
    }

    #[test]
    fn no_attempts_disable() {
        let policy = Retry { attempts: 0, ..policy() };
        let window = BudgetWindow::default();
        assert!(!Retries::new(Some(&policy), &window).wants_error(&refused(), &Method::GET));
    }

    #[test]
    fn what_may_have_been_processed_needs_an_idempotent_method() {
        let (policy, window) = (policy(), BudgetWindow::default());
        let retries = Retries::new(Some(&policy), &window);
        assert!(retries.wants_error(&refused(), &Method::POST));
        assert!(retries.wants_error(&reset(), &Method::PUT));
        assert!(!retries.wants_error(&reset(), &Method::POST));
        assert!(retries.wants_error(&Error::TryTimeout, &Method::GET));
        assert!(!retries.wants_error(&Error::TryTimeout, &Method::POST));
        assert!(!retries.wants_error(&Error::RequestTimeout, &Method::GET));
        let open = UpstreamErrorKind::CircuitOpen(crate::upstream::CircuitLimit::Pending);
        assert!(!retries.wants_error(&Error::Upstream(UpstreamError::unsent(open)), &Method::GET));
    }

    #[test]
    fn listed_codes_are_tried_again() {
        let (policy, window) = (policy(), BudgetWindow::default());
        let retries = Retries::new(Some(&policy), &window);
        assert!(retries.wants_status(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!retries.wants_status(StatusCode::BAD_GATEWAY));
    }

    #[test]
    fn the_backoff_doubles_up_to_a_bound() {
        let (policy, window) = (policy(), BudgetWindow::default());
        let mut retries = Retries::new(Some(&policy), &window);
        for (made, most) in [(1, 20), (2, 40), (3, 80), (4, 160), (5, 200), (40, 200)] {
            retries.made = made;
            let backoff = retries.backoff();
            let most = Duration::from_millis(most);
            assert!(backoff <= most && backoff >= most / 2, "{made}: {backoff:?}");
        }
    }
}
