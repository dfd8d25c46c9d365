//! Compiled filters: header names parsed, backends resolved, header values ready to be copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use model::PathRewrite;

use super::CompiledBackendRef;

/// One step on a request's way; see [`model::Filter`].
#[derive(Debug)]
pub enum CompiledFilter {
    /// Edits request headers.
    RequestHeaders(CompiledHeaderEdit),
    /// Edits response headers.
    ResponseHeaders(CompiledHeaderEdit),
    /// Changes the host or path that the backend sees.
    Rewrite(CompiledRewrite),
    /// Sends a copy elsewhere.
    Mirror(CompiledMirror),
    /// Cross-origin resource sharing.
    Cors(CompiledCors),
    /// Asks a server whether the request may pass.
    ExternalAuth(CompiledExternalAuth),
    /// Holds the request body until it is complete.
    Buffer {
        /// A longer body is answered 413.
        max_bytes: u64,
    },
    /// The filter could not be resolved: answers `status`.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
        /// The answer.
        status: StatusCode,
    },
}

/// Edits of a header map: set, then add, then remove.
#[derive(Debug, Default)]
pub struct CompiledHeaderEdit {
    /// Overwrites all fields of the name.
    pub set: Box<[(HeaderName, HeaderValue)]>,
    /// Appends a field.
    pub add: Box<[(HeaderName, HeaderValue)]>,
    /// Removes all fields of the name.
    pub remove: Box<[HeaderName]>,
}

/// Changes the host or path that the backend sees.
#[derive(Debug)]
pub struct CompiledRewrite {
    /// New host.
    pub host: Option<HeaderValue>,
    /// New path; the result is made canonical again and checked.
    pub path: Option<PathRewrite>,
}

/// Sends a copy of a share of the requests elsewhere.
#[derive(Debug)]
pub struct CompiledMirror {
    /// Where to. An invalid one drops the copies.
    pub backend: CompiledBackendRef,
    pub(super) numerator: u64,
    pub(super) denominator: u64,
    pub(super) seen: AtomicU64,
}

impl CompiledMirror {
    /// Whether this request is copied. Of any `denominator` requests in a row `numerator` are, evenly spread.
    pub fn take(&self) -> bool {
        if self.numerator >= self.denominator {
            return true;
        }
        if self.numerator == 0 {
            return false;
        }
        let place = self.seen.fetch_add(1, Ordering::Relaxed) % self.denominator;
        // The running share passes a whole number just `numerator` times in a turn.
        (place + 1) * self.numerator / self.denominator > place * self.numerator / self.denominator
    }
}

/// Cross-origin resource sharing.
#[derive(Debug)]
pub struct CompiledCors {
    /// Origins that may ask.
    pub origins: CorsOrigins,
    /// `Access-Control-Allow-Methods`.
    pub allow_methods: CorsList,
    /// `Access-Control-Allow-Headers`.
    pub allow_headers: CorsList,
    /// `Access-Control-Expose-Headers`.
    pub expose_headers: CorsList,
    /// Sends `Access-Control-Allow-Credentials: true`; then wildcards are answered by the concrete value.
    pub allow_credentials: bool,
    /// `Access-Control-Max-Age` in seconds.
    pub max_age: Option<HeaderValue>,
}

/// Origins that may ask.
#[derive(Debug)]
pub struct CorsOrigins {
    /// Every origin (`*`).
    pub any: bool,
    pub(super) exact: Box<[Box<str>]>,
    /// What stands before and after the `*`: `https://` and `.example.com:8443`.
    pub(super) wildcard: Box<[(Box<str>, Box<str>)]>,
}

impl CorsOrigins {
    /// Whether an `Origin` value may ask. Browsers send it in lower case (Fetch §3.2).
    pub fn allows(&self, origin: &str) -> bool {
        self.any
            || self.exact.iter().any(|allowed| **allowed == *origin)
            || self.wildcard.iter().any(|(before, after)| {
                let labels = origin.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after));
                labels.is_some_and(|labels| {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                    !labels.is_empty() && !labels.starts_with('.') && labels.bytes().all(plain)
                })
            })
    }
}

/// A list that CORS answers with.
#[derive(Debug)]
pub struct CorsList {
    /// `*` is in the list.
    pub any: bool,
    /// The names joined by `, `; none if the list is empty.
    pub value: Option<HeaderValue>,
}

/// External authorisation.
#[derive(Debug)]
pub struct CompiledExternalAuth {
    /// The authorisation server. An invalid one denies.
    pub backend: CompiledBackendRef,
    /// How it is asked.
    pub protocol: CompiledAuthProtocol,
    /// Bytes of the request body sent along; 0 sends none.
    pub body_bytes: usize,
    /// One question.
    pub timeout: Duration,
    /// Lets requests pass if the server cannot be asked.
    pub fail_open: bool,
}

/// How the authorisation server is asked.
#[derive(Debug)]
pub enum CompiledAuthProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc {
        /// Request headers sent along; empty sends all.
        allowed_headers: Box<[HeaderName]>,
    },
    /// A request with the same method and path.
    Http {
        /// Put before the path.
        path: Arc<str>,
        /// Request headers sent along besides those always sent.
        allowed_headers: Box<[HeaderName]>,
        /// Headers of a 200 that are copied into the request; empty copies all.
        allowed_response_headers: Box<[HeaderName]>,
    },
}
