//! Filters: what happens to a request or response on its way.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BackendRef, PathRewrite, is_default, span};

/// One step on a request's way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    /// Edits request headers.
    RequestHeaders(HeaderEdit),
    /// Edits response headers.
    ResponseHeaders(HeaderEdit),
    /// Changes the host or path that the backend sees.
    Rewrite(Rewrite),
    /// Sends a copy elsewhere; the answer is dropped.
    Mirror(Mirror),
    /// Cross-origin resource sharing (Fetch standard; GEP-1767).
    Cors(Cors),
    /// Asks a server whether the request may pass (GEP-1494).
    ExternalAuth(ExternalAuth),
    /// Holds the request body until it is complete.
    Buffer(Buffer),
    /// The filter could not be resolved: the request is answered with this status, never let through.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
        /// HTTP status.
        status: u16,
    },
}

/// Edits of a header map: set, then add, then remove (each name is in one list only).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderEdit {
    /// Overwrites all fields of the name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderField>,
    /// Appends a field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderField>,
    /// Removes all fields of the name. Lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Arc<str>>,
}

/// A header field; valid by RFC 9110 §5 (translate has checked).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HeaderField {
    /// Lower case.
    pub name: Arc<str>,
    /// Value.
    pub value: Arc<str>,
}

/// Changes the host or path that the backend sees.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// New host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// New path; the result is made canonical again and checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
}

/// Sends a copy of the request elsewhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where to. An invalid one drops the copies.
    pub backend: BackendRef,
    /// Share of the requests: numerator.
    pub numerator: u32,
    /// Share of the requests: denominator, at least 1.
    pub denominator: u32,
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// `*`, `https://example.com`, `https://*.example.com`, with an optional port.
    pub allow_origins: Vec<Arc<str>>,
    /// Methods, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<Arc<str>>,
    /// Header names, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<Arc<str>>,
    /// Header names, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<Arc<str>>,
    /// Sends `Access-Control-Allow-Credentials: true`; then wildcards are answered by the concrete value.
    pub allow_credentials: bool,
    /// `Access-Control-Max-Age`.
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// External authorisation, Envoy's `ext_authz` protocols.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ExternalAuth {
    /// The authorisation server. An invalid one denies.
    pub backend: BackendRef,
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// Bytes of the request body sent along; 0 sends none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body_bytes: u32,
    /// One question.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Lets requests pass if the server cannot be asked. Off: 403.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fail_open: bool,
}

/// How the authorisation server is asked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExternalAuthProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc {
        /// Request headers sent along (lower case); empty sends all.
        allowed_headers: Vec<Arc<str>>,
    },
    /// A request with the same method and path; 200 lets pass.
    Http {
        /// Put before the path.
        path: Arc<str>,
        /// Request headers sent along besides those that the protocol always sends; lower case.
        allowed_headers: Vec<Arc<str>>,
        /// Headers of a 200 that are copied into the request; empty copies all.
        allowed_response_headers: Vec<Arc<str>>,
    },
}

/// Holds the request body until it is complete.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Buffer {
    /// A longer body is answered 413.
    pub max_bytes: u64,
}
