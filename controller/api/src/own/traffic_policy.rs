//! TrafficPolicy: what happens to a request.

mod authentication;

pub use self::authentication::{
    Authentication, ExternalAuth, ExternalAuthBackendRef, ExternalAuthBody, ExternalAuthGrpc,
    ExternalAuthHttp, ExternalAuthProtocol,
};

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Quantity, TargetRef, TargetSelector};
use crate::duration::Duration;
use crate::gateway_api::PolicyStatus;

/// What happens to a request: authentication, headers, resilience.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "TrafficPolicy",
    plural = "trafficpolicies",
    shortname = "tpol",
    category = "diolkos",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "What happens to a request: authentication, headers, resilience.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
    printcolumn(name = "Enforced", type_ = "boolean", json_path = ".spec.enforce", priority = 1),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.ancestors[0].conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// Gateways, ListenerSets and routes in the policy's namespace, or a part of them by `sectionName`
    /// (a listener, a named rule). Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(t, t.group == 'gateway.networking.k8s.io' && t.kind in ['Gateway', 'ListenerSet', 'HTTPRoute', 'GRPCRoute'])").message("a TrafficPolicy attaches to group gateway.networking.k8s.io, kind Gateway, ListenerSet, HTTPRoute or GRPCRoute"))]
    pub target_refs: Vec<TargetRef>,
    /// All objects of a kind in the policy's namespace, by labels; narrower than nothing, wider than a
    /// `targetRefs` entry for the same object. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(t, t.group == 'gateway.networking.k8s.io' && t.kind in ['Gateway', 'ListenerSet', 'HTTPRoute', 'GRPCRoute'])").message("a TrafficPolicy selects group gateway.networking.k8s.io, kind Gateway, ListenerSet, HTTPRoute or GRPCRoute"))]
    pub target_selectors: Vec<TargetSelector>,
    /// Turns precedence round: what this policy says holds against narrower policies. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// Who may pass. Default: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Header edits, made after the route's own filters. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderEdits>,
    /// How long things may take; a route's own `timeouts` are narrower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// When a request is tried again; a route's own `retry` is narrower. Default: once, if the
    /// connection failed before anything was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Answers cross-origin requests (Fetch standard). Merged as a whole; a route's own CORS filter is
    /// narrower. Default: none, requests and headers pass as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Holds a request's body until it is complete. Default: bodies are forwarded as they arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Buffer>,
}

/// Header edits in both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdits {
    /// Edits of the request before it is forwarded. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<HeaderEdit>,
    /// Edits of the response before it is answered. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<HeaderEdit>,
}

/// Header edits in one direction; names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdit {
    /// Fields that replace whatever the message has of that name. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub set: Vec<HeaderField>,
    /// Fields that are added to what the message has. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub add: Vec<HeaderField>,
    /// Names that are removed. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = HEADER_NAME)))]
    pub remove: Vec<String>,
}

/// One header field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderField {
    /// Name; compares without case.
    #[schemars(length(min = 1, max = 256), regex(pattern = HEADER_NAME))]
    pub name: String,
    /// Value.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// How long things may take. `0s` is no limit (GEP-1742).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From the end of the request's headers to the end of the response, all tries included.
    /// Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// No byte in either direction. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
    /// One try, from connecting to the end of the response's headers. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Duration>,
}

/// When and how often a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Tries after the first. 0 disables retries. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub attempts: Option<u32>,
    /// What is tried again: `connect-failure`, `refused-stream`, `reset` (idempotent methods only), or an
    /// answer by its status, such as `"503"`. Default: `connect-failure` and `refused-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub on: Option<Vec<RetryOn>>,
    /// Base of the jittered exponential back-off between tries. Default: `25ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// Keeps retries to a share of the requests. Default: where a TrafficPolicy says anything about
    /// retries, 20 per cent, but 10 per second always; otherwise no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudgetPolicy>,
}

/// A bound on retries (GEP-3388).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudgetPolicy {
    /// Retries per 100 requests. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub percent: Option<u32>,
    /// Retries per second that are always allowed. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub min_per_second: Option<u32>,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryOn {
    /// `connect-failure`: no connection came about.
    ConnectFailure,
    /// `refused-stream`: the backend refused before it processed anything.
    RefusedStream,
    /// `reset`: the connection broke after the request was sent; only for idempotent methods.
    Reset,
    /// An answer with this status, 400–599.
    Status(u16),
}

/// Why a text is no condition for a retry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no condition for a retry; use connect-failure, refused-stream, reset or a status 400–599"
)]
pub struct ParseRetryOnError {
    text: String,
}

impl FromStr for RetryOn {
    type Err = ParseRetryOnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("connect-failure", _) => Ok(Self::ConnectFailure),
            ("refused-stream", _) => Ok(Self::RefusedStream),
            ("reset", _) => Ok(Self::Reset),
            (_, Ok(status @ 400..=599)) => Ok(Self::Status(status)),
            _ => Err(ParseRetryOnError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailure => formatter.write_str("connect-failure"),
            Self::RefusedStream => formatter.write_str("refused-stream"),
            Self::Reset => formatter.write_str("reset"),
            Self::Status(status) => status.fmt(formatter),
        }
    }
}

impl Serialize for RetryOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for RetryOn {
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(connect-failure|refused-stream|reset|[45][0-9]{2})$"})
    }
}

/// Answers to cross-origin requests; fields as in the Gateway API filter of that name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.allowOrigins) || !('*' in self.allowOrigins) || self.allowOrigins.size() == 1").message("allowOrigins may not hold '*' beside other origins; keep one or the other"))]
pub struct Cors {
    /// Origins that may ask: `*`, `https://example.com`, `https://*.example.com`, with an optional port.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = ORIGIN)))]
    pub allow_origins: Vec<String>,
    /// Methods they may use, or `*`. Default: those that need no leave (GET, HEAD, POST).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32), regex(pattern = "^([*]|[A-Z]+)$")))]
    pub allow_methods: Vec<String>,
    /// Request headers they may send, or `*`. Default: those that need no leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = HEADER_NAME)))]
    pub allow_headers: Vec<String>,
    /// Response headers that their scripts may read, or `*`. Default: those that need no leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = HEADER_NAME)))]
    pub expose_headers: Vec<String>,
    /// Whether they may send cookies and the like. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// How long a browser may keep the answer to a preflight. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Holds a request's body until it is complete; a longer one is answered 413.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// The longest body. Default: `1Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Quantity>,
}

/// A field name (RFC 9110 §5.1); `*` is one of its characters.
const HEADER_NAME: &str = "^[A-Za-z0-9!#$%&'*+.^_|~`-]+$";

/// An origin (RFC 6454 §6.2) with an optional `*` as first label.
const ORIGIN: &str = "^([*]|https?://([*][.])?[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*(:[0-9]{1,5})?)$";
