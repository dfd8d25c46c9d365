//! Route tables: hosts, ordered matches, rules, and what a rule does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BackendName, Filter, HostPattern, Origin, is_default, span};

/// The routes of one HTTP listener.
///
/// A request's host is looked up most specific pattern first; within a pattern the first match wins. If no
/// match of a pattern fits, the next less specific pattern is tried. The order of matches is decided in
/// `translate` (Gateway API precedence, or Istio's order); the proxy keeps it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Host pattern → matches in order of precedence. A `RouteMatch` names its rule by index into `rules`.
    pub hosts: BTreeMap<HostPattern, Vec<RouteMatch>>,
    /// Rules, referred to by index.
    pub rules: Vec<Rule>,
}

/// One way into a rule.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// All of it must hold.
    #[serde(flatten)]
    pub when: Match,
    /// Index into [`RouteTable::rules`].
    pub rule: usize,
}

/// Conditions on a request; all must hold, an absent one always does.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    /// On the canonical path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The method, compared by case (RFC 9110 §9.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Arc<str>>,
    /// Each must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Each must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatch>,
}

/// How a path is matched.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// By path segment (Gateway API `PathPrefix`): `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. Written
    /// without a trailing slash; `/` matches everything.
    SegmentPrefix(Arc<str>),
    /// By string (Istio `prefix`).
    StringPrefix(Arc<str>),
    /// The whole path by a linear-time regular expression.
    Regex(Arc<str>),
}

/// A condition on a header. Several fields of one name are compared as one value joined by `,`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: Arc<str>,
    /// What the value must be.
    pub value: ValueMatch,
}

/// A condition on a query parameter: its first occurrence, decoded.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct QueryMatch {
    /// Compared by case.
    pub name: Arc<str>,
    /// What the value must be.
    pub value: ValueMatch,
}

/// A condition on a text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ValueMatch {
    /// Equal.
    Exact(Arc<str>),
    /// Starts with.
    Prefix(Arc<str>),
    /// The whole text by a linear-time regular expression.
    Regex(Arc<str>),
    /// Present with any value.
    Present,
}

/// What happens to a request that a match chose.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The route that wrote it.
    pub origin: Origin,
    /// Its place in that route, from 0.
    pub index: usize,
    /// Its name there, if it has one (GEP-995).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// In order, before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// What to do.
    pub action: Action,
    /// Field → the object that set it, for `explain`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set_by: BTreeMap<Arc<str>, Origin>,
}

/// What to do with a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Send it to a backend.
    Forward(Forward),
    /// Answer with another location.
    Redirect(Redirect),
    /// Answer directly. gRPC requests get the status as `grpc-status` (gRPC over HTTP/2 mapping).
    Respond {
        /// HTTP status, 200–599.
        status: u16,
        /// Body text; also `grpc-message`.
        #[serde(default)]
        body: Arc<str>,
    },
}

/// Forwarding to one of several backends.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forward {
    /// Chosen by weight; weight 0 is never chosen. No backend with weight: 500.
    pub backends: Vec<WeightedBackend>,
    /// Time limits.
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,
    /// Retries; none means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Keeps a client at one endpoint (GEP-1619).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPersistence>,
}

/// A backend with its share of the traffic.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// Share, relative to the sum. 0–1,000,000.
    pub weight: u32,
    /// Where to.
    pub backend: BackendRef,
    /// Filters for this backend alone, after the rule's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// A reference to a backend, resolved or known to be wrong. A wrong one answers its status, never somebody
/// else's backend.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendRef {
    /// A key of [`crate::Snapshot::backends`].
    Name(BackendName),
    /// Unresolvable, not granted, or of a wrong kind.
    Invalid {
        /// Why, for the log.
        reason: Arc<str>,
        /// 500 (Gateway API) or 503 (Istio).
        status: u16,
    },
}

/// Time limits of a request; none is no limit (GEP-1742: `0s` disables).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// From the end of the request's headers to the end of the response, all tries included.
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// One try, from connect to the end of the response headers (GEP-1742 `backendRequest`).
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<Duration>,
    /// No byte in either direction.
    #[serde(with = "span::option", skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

/// Retries (GEP-1731).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first; 0 disables.
    pub attempts: u32,
    /// Answers that are tried again, 400–599.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Connection failures and refused streams (HTTP/2 REFUSED_STREAM, gRPC UNAVAILABLE before processing).
    pub connect_failure: bool,
    /// A reset after the request was sent; only for idempotent methods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reset: bool,
    /// Base of the jittered exponential back-off.
    #[serde(with = "span")]
    pub backoff: Duration,
    /// Limits retries to a share of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
}

/// A bound on retries (GEP-3388).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RetryBudget {
    /// Retries per 100 requests within the interval.
    pub percent: u32,
    /// Retries that are always allowed, per second.
    pub min_per_second: u32,
    /// The window that is looked at.
    #[serde(with = "span")]
    pub interval: Duration,
}

/// Session persistence (GEP-1619).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SessionPersistence {
    /// Where the session's name travels.
    pub carrier: SessionCarrier,
    /// No request for that long: the session ends.
    #[serde(with = "span::option", default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// The session's longest life.
    #[serde(with = "span::option", default, skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<Duration>,
}

/// Where a session's name travels.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Its path attribute.
        path: Arc<str>,
        /// `Max-Age` from the absolute timeout (`lifetimeType: Permanent`); else a session cookie.
        permanent: bool,
    },
    /// A header of this name (lower case), in the response and then in requests.
    Header(Arc<str>),
}

/// A redirect. Absent parts stay as the request has them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Arc<str>>,
    /// Host to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// Port to name. None: the well-known port of `scheme` if that is set, else the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A new path.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathRewrite {
    /// The whole path.
    Full(Arc<str>),
    /// The part that the prefix match of the rule matched.
    Prefix(Arc<str>),
}

/// A rule of a TCPRoute, TLSRoute or UDPRoute.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct L4Rule {
    /// The route that wrote it.
    pub origin: Origin,
    /// Chosen by weight, per connection (UDP: per session).
    pub backends: Vec<WeightedBackend>,
    /// No byte in either direction: the connection or session ends.
    #[serde(with = "span")]
    pub idle_timeout: Duration,
}
