//! What can go wrong with a request, whose fault it is, and whether another try makes sense.

use std::sync::Arc;

use http::StatusCode;

use super::body::BodyError;
use crate::telemetry::flags::Flags;
use crate::upstream::{UpstreamError, UpstreamErrorKind};

/// A request that is not answered by an endpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Two readers could understand the request differently, or the protocol is broken.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request target is too long.
    #[error("the request target is too long")]
    UriTooLong,
    /// The header section is too large.
    #[error("the header section is too large")]
    HeadersTooLarge,
    /// A method that is never served here: CONNECT.
    #[error("the method is not allowed")]
    Method,
    /// `Expect` asks for something unknown.
    #[error("the expectation is not known")]
    Expectation,
    /// The host belongs to another listener than the connection.
    #[error("the host belongs to another listener")]
    Misdirected,
    /// The body failed, was too slow, or is too long.
    #[error("the request body failed")]
    Body(#[source] BodyError),
    /// The process is short of memory or descriptors.
    #[error("the proxy is overloaded")]
    Overload,
    /// No listener or route fits.
    #[error("no route fits")]
    NoRoute,
    /// The rule has no backend with a weight.
    #[error("the rule has no backend")]
    NoBackend,
    /// The reference cannot be resolved.
    #[error("the backend is invalid: {reason}")]
    InvalidBackend {
        /// Why, for the log.
        reason: Arc<str>,
        /// The answer.
        status: StatusCode,
    },
    /// A filter could not be resolved.
    #[error("a filter is closed: {reason}")]
    ClosedFilter {
        /// Why, for the log.
        reason: Arc<str>,
        /// The answer.
        status: StatusCode,
    },
    /// A rewrite or redirect gives a target that cannot be sent.
    #[error("the new request target is not valid")]
    Target,
    /// The authorisation server could not be asked.
    #[error("external authorisation failed: {0}")]
    Authorization(Arc<str>),
    /// The endpoint could not be reached, or failed.
    #[error("upstream failed")]
    Upstream(#[source] UpstreamError),
    /// One try took too long (GEP-1742 `backendRequest`).
    #[error("a try timed out")]
    TryTimeout,
    /// The whole request took too long (GEP-1742 `request`).
    #[error("the request timed out")]
    RequestTimeout,
    /// Nothing moved in either direction for too long.
    #[error("the stream was idle for too long")]
    StreamIdle,
    /// The endpoint switched protocols without being asked, or to another one than asked for.
    #[error("the endpoint switched to a protocol that was not asked for")]
    Upgrade,
}

/// Whose doing it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// The client's.
    Downstream,
    /// The endpoint's, or the way to it.
    Upstream,
    /// Ours or the configuration's.
    Internal,
}

impl Error {
    /// Whose doing it was.
    pub(crate) fn side(&self) -> Side {
        match self {
            Self::Malformed(_)
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Method
            | Self::Expectation
            | Self::Misdirected
            | Self::Body(_) => Side::Downstream,
            Self::Upstream(error) if error.kind == UpstreamErrorKind::RequestBody => Side::Downstream,
            Self::Upstream(_)
            | Self::TryTimeout
            | Self::RequestTimeout
            | Self::StreamIdle
            | Self::Upgrade => Side::Upstream,
            Self::Overload
            | Self::NoRoute
            | Self::NoBackend
            | Self::InvalidBackend { .. }
            | Self::ClosedFilter { .. }
            | Self::Target
            | Self::Authorization(_) => Side::Internal,
        }
    }

    /// What another try may do about it.
    pub(crate) fn retryable(&self) -> Retryable {
        match self {
            Self::Upstream(error) => match error.kind {
                UpstreamErrorKind::RequestBody
                | UpstreamErrorKind::TlsClosed(_)
                | UpstreamErrorKind::CircuitOpen(_)
                | UpstreamErrorKind::ResetMidResponse => Retryable::No,
                UpstreamErrorKind::Refused => Retryable::Refused,
                _ if !error.sent => Retryable::Refused,
                _ => Retryable::Sent,
            },
            Self::TryTimeout => Retryable::TimedOut,
            _ => Retryable::No,
        }
    }

    /// Envoy's letters.
    pub(crate) fn flags(&self) -> Flags {
        match self {
            Self::Malformed(_)
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Method
            | Self::Expectation => Flags::DOWNSTREAM_PROTOCOL_ERROR,
            Self::Misdirected | Self::NoRoute => Flags::NO_ROUTE,
            Self::Body(BodyError::Broken | BodyError::Abandoned) => Flags::DOWNSTREAM_TERMINATED,
            Self::Body(BodyError::Stalled) => Flags::IDLE_TIMEOUT,
            Self::Body(BodyError::TooLarge) | Self::ClosedFilter { .. } | Self::Target => Flags::NONE,
            Self::Overload => Flags::OVERLOAD,
            Self::NoBackend | Self::InvalidBackend { .. } => Flags::NO_BACKEND,
            Self::Authorization(_) => Flags::UNAUTHORIZED_EXTERNAL,
            Self::Upstream(error) => upstream_flags(&error.kind),
            Self::TryTimeout | Self::RequestTimeout => Flags::UPSTREAM_TIMEOUT,
            Self::StreamIdle => Flags::IDLE_TIMEOUT,
            Self::Upgrade => Flags::UPSTREAM_PROTOCOL_ERROR,
        }
    }

    /// `response_code_details` of the access log, in Envoy's words where it has some.
    pub(crate) fn details(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "downstream_protocol_error",
            Self::UriTooLong => "request_target_too_long",
            Self::HeadersTooLarge => "request_headers_too_large",
            Self::Method => "method_not_allowed",
            Self::Expectation => "expectation_failed",
            Self::Misdirected => "misdirected_request",
            Self::Body(BodyError::TooLarge) => "request_payload_too_large",
            Self::Body(BodyError::Stalled) => "request_body_timeout",
            Self::Body(BodyError::Broken | BodyError::Abandoned) => "downstream_remote_disconnect",
            Self::Overload => "overload",
            Self::NoRoute => "route_not_found",
            Self::NoBackend => "no_backend",
            Self::InvalidBackend { .. } => "invalid_backend",
            Self::ClosedFilter { .. } => "filter_not_resolved",
            Self::Target => "invalid_rewrite",
            Self::Authorization(_) => "ext_authz_error",
            Self::Upstream(error) => upstream_details(&error.kind),
            Self::TryTimeout => "upstream_per_try_timeout",
            Self::RequestTimeout => "response_timeout",
            Self::StreamIdle => "stream_idle_timeout",
            Self::Upgrade => "upgrade_failed",
        }
    }

    /// Whether the client's connection cannot be used again, since nobody knows where the next request begins.
    pub(crate) fn closes(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::UriTooLong | Self::HeadersTooLarge | Self::Method | Self::Body(_)
        )
    }
}

/// What another try may do about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Retryable {
    /// Nothing.
    No,
    /// The endpoint has not processed the request.
    Refused,
    /// The endpoint may have processed it.
    Sent,
    /// The try was given up.
    TimedOut,
}

fn upstream_flags(kind: &UpstreamErrorKind) -> Flags {
    match kind {
        UpstreamErrorKind::NoHealthyEndpoint => Flags::NO_HEALTHY_UPSTREAM,
        UpstreamErrorKind::CircuitOpen(_) => Flags::UPSTREAM_OVERFLOW,
        UpstreamErrorKind::Resolve => Flags::DNS_FAILURE,
        UpstreamErrorKind::ConnectRefused
        | UpstreamErrorKind::ConnectTimeout
        | UpstreamErrorKind::ConnectOther
        | UpstreamErrorKind::TlsFailed
        | UpstreamErrorKind::TlsClosed(_) => Flags::UPSTREAM_CONNECTION_FAILURE,
        UpstreamErrorKind::Refused => Flags::UPSTREAM_RESET,
        UpstreamErrorKind::ResetBeforeResponse | UpstreamErrorKind::ResetMidResponse => {
            Flags::UPSTREAM_TERMINATED
        }
        UpstreamErrorKind::Protocol => Flags::UPSTREAM_PROTOCOL_ERROR,
        UpstreamErrorKind::RequestBody => Flags::DOWNSTREAM_TERMINATED,
    }
}

fn upstream_details(kind: &UpstreamErrorKind) -> &'static str {
    match kind {
        UpstreamErrorKind::NoHealthyEndpoint => "no_healthy_upstream",
        UpstreamErrorKind::CircuitOpen(_) => "upstream_overflow",
        UpstreamErrorKind::Resolve => "dns_resolution_failed",
        UpstreamErrorKind::ConnectRefused | UpstreamErrorKind::ConnectOther => {
            "upstream_reset_before_response_started{connection_failure}"
        }
        UpstreamErrorKind::ConnectTimeout => "upstream_reset_before_response_started{connection_timeout}",
        UpstreamErrorKind::TlsFailed | UpstreamErrorKind::TlsClosed(_) => {
            "upstream_reset_before_response_started{tls_failure}"
        }
        UpstreamErrorKind::Refused => "upstream_reset_before_response_started{remote_refused_stream_reset}",
        UpstreamErrorKind::ResetBeforeResponse => {
            "upstream_reset_before_response_started{connection_termination}"
        }
        UpstreamErrorKind::ResetMidResponse => {
            "upstream_reset_after_response_started{connection_termination}"
        }
        UpstreamErrorKind::Protocol => "upstream_reset_before_response_started{protocol_error}",
        UpstreamErrorKind::RequestBody => "downstream_remote_disconnect",
    }
}
