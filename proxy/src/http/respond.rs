//! From an error to the answer: HTTP status or gRPC status, and a body that names no internals.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body::BodyError;
use super::error::Error;
use crate::upstream::UpstreamErrorKind;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How the client wants to be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// A status and a body.
    Http,
    /// `grpc-status` in a 200 without a body (gRPC over HTTP/2: Trailers-Only).
    Grpc,
}

impl Dialect {
    /// By the request's `Content-Type`: `application/grpc`, maybe with a suffix `+proto` or parameters.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Self::Http };
        match value.as_bytes().strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => Self::Grpc,
            Some(_) | None => Self::Http,
        }
    }
}

/// The answer to an error.
pub(crate) fn error(error: &Error, dialect: Dialect) -> Response<Bytes> {
    let mut response = message(status(error), Bytes::from_static(text(error).as_bytes()), dialect);
    if error.closes() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A direct answer: status and text.
pub(crate) fn message(status: StatusCode, text: Bytes, dialect: Dialect) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    match dialect {
        Dialect::Http => {
            *response.status_mut() = status;
            if !text.is_empty() {
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                *response.body_mut() = text;
            }
        }
        Dialect::Grpc => {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from_static(grpc_status(status)));
            if let Some(message) = grpc_message(&text) {
                headers.insert(GRPC_MESSAGE, message);
            }
        }
    }
    response
}

/// The HTTP status of an error.
pub(crate) fn status(error: &Error) -> StatusCode {
    match error {
        Error::Malformed(_) | Error::Body(BodyError::Broken | BodyError::Abandoned) => {
            StatusCode::BAD_REQUEST
        }
        Error::UriTooLong => StatusCode::URI_TOO_LONG,
        Error::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Error::Method => StatusCode::METHOD_NOT_ALLOWED,
        Error::Expectation => StatusCode::EXPECTATION_FAILED,
        Error::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Error::Body(BodyError::Stalled) => StatusCode::REQUEST_TIMEOUT,
        Error::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Overload => StatusCode::SERVICE_UNAVAILABLE,
        Error::NoRoute => StatusCode::NOT_FOUND,
        Error::NoBackend | Error::Target => StatusCode::INTERNAL_SERVER_ERROR,
        Error::InvalidBackend { status, .. } | Error::ClosedFilter { status, .. } => *status,
        Error::Authorization(_) => StatusCode::FORBIDDEN,
        Error::Upstream(error) => upstream_status(&error.kind),
        Error::TryTimeout | Error::RequestTimeout | Error::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
        Error::Upgrade => StatusCode::BAD_GATEWAY,
    }
}

fn upstream_status(kind: &UpstreamErrorKind) -> StatusCode {
    match kind {
        UpstreamErrorKind::NoHealthyEndpoint
        | UpstreamErrorKind::CircuitOpen(_)
        | UpstreamErrorKind::Resolve
        | UpstreamErrorKind::ConnectRefused
        | UpstreamErrorKind::ConnectTimeout
        | UpstreamErrorKind::ConnectOther
        | UpstreamErrorKind::TlsFailed
        | UpstreamErrorKind::TlsClosed(_)
        | UpstreamErrorKind::Refused
        | UpstreamErrorKind::ResetBeforeResponse => StatusCode::SERVICE_UNAVAILABLE,
        UpstreamErrorKind::ResetMidResponse | UpstreamErrorKind::Protocol => StatusCode::BAD_GATEWAY,
        UpstreamErrorKind::RequestBody => StatusCode::BAD_REQUEST,
    }
}

/// What the client reads. Names of backends, reasons of the configuration and addresses stay in the log.
fn text(error: &Error) -> &'static str {
    match error {
        Error::Malformed(reason) => reason,
        Error::UriTooLong => "the request target is too long",
        Error::HeadersTooLarge => "the header section is too large",
        Error::Method => "the method is not allowed",
        Error::Expectation => "the expectation is not known",
        Error::Misdirected => "the host is not served on this connection",
        Error::Body(BodyError::TooLarge) => "the request body is too large",
        Error::Body(BodyError::Stalled) => "the request body did not arrive in time",
        Error::Body(BodyError::Broken | BodyError::Abandoned) => "the request body is broken",
        Error::Overload => "overloaded",
        Error::NoRoute => "no route",
        Error::NoBackend | Error::InvalidBackend { .. } => "no backend",
        Error::ClosedFilter { .. } | Error::Target => "misconfigured route",
        Error::Authorization(_) => "not authorized",
        Error::Upstream(error) if error.kind == UpstreamErrorKind::NoHealthyEndpoint => "no healthy upstream",
        Error::Upstream(_) => "upstream failed",
        Error::TryTimeout | Error::RequestTimeout | Error::StreamIdle => "upstream request timeout",
        Error::Upgrade => "upgrade failed",
    }
}

/// gRPC's HTTP-to-gRPC status mapping, save 504: a gateway that timed out has seen the deadline pass.
/// Numbers: UNKNOWN 2, DEADLINE_EXCEEDED 4, PERMISSION_DENIED 7, RESOURCE_EXHAUSTED 8, UNIMPLEMENTED 12,
/// INTERNAL 13, UNAVAILABLE 14, UNAUTHENTICATED 16.
pub(crate) fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "0",
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        408 | 504 => "4",
        413 | 431 => "8",
        429 | 502 | 503 => "14",
        _ => "2",
    }
}

/// Percent-encodes as the gRPC wire format asks: everything but visible ASCII and space, and `%` itself.
fn grpc_message(text: &[u8]) -> Option<HeaderValue> {
    if text.is_empty() {
        return None;
    }
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b' '..=b'~') && *byte != b'%' {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(encoded)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamError;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (value, dialect) in [
            ("application/grpc", Dialect::Grpc),
            ("application/grpc+proto", Dialect::Grpc),
            ("application/grpc; charset=x", Dialect::Grpc),
            ("application/grpc-web", Dialect::Http),
            ("application/json", Dialect::Http),
        ] {
            assert_eq!(Dialect::of(&headers(value)), dialect, "{value}");
        }
        assert_eq!(Dialect::of(&HeaderMap::new()), Dialect::Http);
    }

    #[test]
    fn grpc_clients_get_a_trailers_only_answer() {
        for (failure, expected) in [
            (Error::NoRoute, "12"),
            (Error::Upstream(UpstreamError::unsent(UpstreamErrorKind::NoHealthyEndpoint)), "14"),
            (Error::RequestTimeout, "4"),
            (Error::Body(BodyError::TooLarge), "8"),
            (Error::NoBackend, "2"),
            (Error::Authorization("x".into()), "7"),
        ] {
            let response = error(&failure, Dialect::Grpc);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc");
            assert_eq!(response.headers()[GRPC_STATUS], expected, "{failure}");
            assert!(response.headers().contains_key(GRPC_MESSAGE));
            assert!(response.body().is_empty());
        }
    }

    #[test]
    fn answers_name_no_internals() {
        let failure = Error::InvalidBackend {
            reason: "secret-namespace/db".into(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
        };
        let response = error(&failure, Dialect::Http);
        assert_eq!(response.status(), 500);
        assert_eq!(response.body(), "no backend");
    }

    #[test]
    fn doubtful_framing_closes_the_connection() {
        assert_eq!(error(&Error::Malformed("x"), Dialect::Http).headers()[header::CONNECTION], "close");
        assert!(!error(&Error::NoRoute, Dialect::Http).headers().contains_key(header::CONNECTION));
    }

    #[test]
    fn grpc_messages_are_percent_encoded() {
        let response = message(StatusCode::NOT_FOUND, Bytes::from("ä 100%\n"), Dialect::Grpc);
        assert_eq!(response.headers()[GRPC_MESSAGE], "%C3%A4 100%25%0A");
    }
}
