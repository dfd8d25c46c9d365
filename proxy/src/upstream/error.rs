//! What goes wrong on the way to an endpoint, and what the caller may do about it.

use std::fmt;
use std::sync::Arc;

use http::Request;

/// A failure on the way to or at an endpoint.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct UpstreamError {
    /// What happened.
    pub kind: UpstreamErrorKind,
    /// Whether the endpoint may have seen a byte of the request. False: safe to try again, whatever the method.
    pub sent: bool,
    /// Whether the connection had carried a request before: a keep-alive race is likely then, and an
    /// idempotent request may be tried again (RFC 9112 §9.3.1).
    pub reused: bool,
    /// The library's own words, for the log.
    pub detail: Option<Arc<str>>,
}

impl UpstreamError {
    /// A failure before any byte was sent.
    pub fn unsent(kind: UpstreamErrorKind) -> Self {
        Self { kind, sent: false, reused: false, detail: None }
    }

    /// A failure after the request, or a part of it, was sent.
    pub fn sent(kind: UpstreamErrorKind) -> Self {
        Self { kind, sent: true, reused: false, detail: None }
    }

    /// Adds the cause's words.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.detail = Some(cause.to_string().into());
        self
    }
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UpstreamErrorKind {
    /// The backend has no endpoint.
    #[error("no healthy endpoint")]
    NoHealthyEndpoint,
    /// A bound of the backend is reached.
    #[error("circuit open: {0}")]
    CircuitOpen(CircuitLimit),
    /// The endpoint's name did not resolve.
    #[error("name resolution failed")]
    Resolve,
    /// The endpoint refused the connection.
    #[error("connection refused")]
    ConnectRefused,
    /// No connection within the backend's connect timeout.
    #[error("connection timed out")]
    ConnectTimeout,
    /// Another failure to connect.
    #[error("connection failed")]
    ConnectOther,
    /// The TLS handshake failed, or the peer's certificate is not trusted.
    #[error("TLS failed")]
    TlsFailed,
    /// TLS is asked for but its material is missing: no connection is made.
    #[error("TLS is not possible: {0}")]
    TlsClosed(Arc<str>),
    /// The endpoint said that it did not process the request: REFUSED_STREAM, or a GOAWAY below the stream.
    #[error("refused by the endpoint before processing")]
    Refused,
    /// The connection ended after the request was sent and before the response head came.
    #[error("reset before the response")]
    ResetBeforeResponse,
    /// The connection ended within the response body.
    #[error("reset within the response")]
    ResetMidResponse,
    /// The endpoint, or the request, does not fit the protocol.
    #[error("protocol error")]
    Protocol,
    /// The request's own body failed: the client's fault, not the endpoint's.
    #[error("request body failed")]
    RequestBody,
}

/// A bound of a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CircuitLimit {
    /// Connections at once.
    Connections,
    /// Requests waiting for a connection.
    Pending,
    /// Requests at once.
    Requests,
}

impl fmt::Display for CircuitLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections",
            Self::Pending => "pending requests",
            Self::Requests => "requests",
        })
    }
}

/// A request that was not answered. The request comes back if it provably was not sent.
#[derive(Debug)]
pub struct DispatchError<B> {
    /// Why.
    pub error: UpstreamError,
    /// The request, if no byte of it left.
    pub request: Option<Box<Request<B>>>,
}

impl<B> DispatchError<B> {
    /// A failure that keeps the request.
    pub(crate) fn unsent(kind: UpstreamErrorKind, request: Request<B>) -> Self {
        Self { error: UpstreamError::unsent(kind), request: Some(Box::new(request)) }
    }
}
