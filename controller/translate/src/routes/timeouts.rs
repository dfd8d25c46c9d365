//! Time limits and retries of an HTTPRoute's rule.

use std::time::Duration;

use api::gateway_api::{HttpRouteRetry, HttpRouteTimeouts};
use model::{Retry, Timeouts};

use super::fault::Fault;

/// Time limits. GEP-1742: `0s` disables.
///
/// # Errors
/// A try that is allowed to take longer than the whole request.
pub(super) fn timeouts(wanted: &HttpRouteTimeouts, field: &str) -> Result<Timeouts, Fault> {
    let limit = |wanted: Option<api::duration::Duration>| wanted.filter(|wanted| !wanted.is_zero());
    let (request, backend_request) = (limit(wanted.request), limit(wanted.backend_request));
    if let (Some(request), Some(backend_request)) = (request, backend_request)
        && backend_request > request
    {
        let message = format_args!("{backend_request} is longer than timeouts.request, {request}");
        return Err(Fault::unsupported(format!("{field}.timeouts.backendRequest"), message));
    }
    Ok(Timeouts {
        request: request.map(Into::into),
        backend_request: backend_request.map(Into::into),
        idle: None,
    })
}

/// Retries: connection failures and refused requests always, answers by code (HTTPRouteRetry). `attempts: 0`
/// disables them.
///
/// # Errors
/// A code that is no error.
pub(super) fn retry(wanted: &HttpRouteRetry, field: &str) -> Result<Retry, Fault> {
    if let Some((index, code)) =
        wanted.codes.iter().enumerate().find(|(_, code)| !(400..=599).contains(*code))
    {
        let field = format!("{field}.retry.codes[{index}]");
        return Err(Fault::unsupported(field, format_args!("{code} is not within 400–599")));
    }
    let mut codes = wanted.codes.clone();
    codes.sort_unstable();
    codes.dedup();
    Ok(Retry {
        attempts: wanted.attempts,
        codes,
        connect_failure: true,
        // "Implementations SHOULD NOT retry by default on failures where the request may have been processed."
        reset: false,
        backoff: wanted.backoff.map_or(DEFAULT_BACKOFF, Into::into),
        budget: None,
    })
}

/// Base of the back-off where nothing says another. Short: the second try must fit into request time limits of
/// half a second.
pub(crate) const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn zero_disables_a_limit() {
        let wanted = serde_json::from_value(json!({"request": "0s", "backendRequest": "2s"})).unwrap();
        let limits = timeouts(&wanted, "").unwrap();
        assert_eq!(limits.request, None);
        assert_eq!(limits.backend_request, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_try_cannot_outlast_the_request() {
        let wanted = serde_json::from_value(json!({"request": "1s", "backendRequest": "2s"})).unwrap();
        assert_eq!(
            timeouts(&wanted, "spec.rules[0]").unwrap_err().field,
            "spec.rules[0].timeouts.backendRequest"
        );
    }

    #[test]
    fn one_retry_unless_said() {
        let wanted = serde_json::from_value(json!({"codes": [503, 500, 503]})).unwrap();
        let retry = retry(&wanted, "").unwrap();
        assert_eq!((retry.attempts, retry.codes.as_slice()), (1, [500, 503].as_slice()));
        assert!(retry.connect_failure && !retry.reset);
        assert_eq!(retry.backoff, DEFAULT_BACKOFF);
    }

    #[test]
    fn success_is_not_retried() {
        let wanted = serde_json::from_value(json!({"codes": [500, 200]})).unwrap();
        assert_eq!(retry(&wanted, "r").unwrap_err().field, "r.retry.codes[1]");
    }
}
