//! HTTPRoute, gateway.networking.k8s.io/v1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{
    ExternalAuthFilter, GatewayDefaultScope, HeaderMatch, HeaderModifier, LocalObjectReference, MatchType,
    ParentReference, RequestMirrorFilter, RouteStatus, SessionPersistence,
};
use crate::duration::Duration;
use crate::object::Object;

/// HTTPRoute provides a way to route HTTP requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpRoute {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: HttpRouteSpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

impl Object for HttpRoute {
    const GROUP: &'static str = "gateway.networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "HTTPRoute";
    const PLURAL: &'static str = "httproutes";
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// CORS defines a schema for a filter that responds to the cross-origin request based on HTTP
/// response header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorsFilter {
    /// AllowCredentials indicates whether the actual cross-origin request allows to include
    /// credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// AllowHeaders indicates which HTTP request headers are supported for accessing the requested
    /// resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// AllowMethods indicates which HTTP methods are supported for accessing the requested resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<CorsMethod>,
    /// AllowOrigins indicates whether the response can be shared with requested resource from the
    /// given `Origin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// ExposeHeaders indicates which HTTP response headers can be exposed to client-side scripts in
    /// response to a cross-origin request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// MaxAge indicates the duration (in seconds) for the client to cache the results of a
    /// "preflight" request.
    #[serde(default = "default_cors_filter_max_age")]
    pub max_age: u32,
}

impl Default for CorsFilter {
    fn default() -> Self {
        Self {
            allow_credentials: None,
            allow_headers: Default::default(),
            allow_methods: Default::default(),
            allow_origins: Default::default(),
            expose_headers: Default::default(),
            max_age: default_cors_filter_max_age(),
        }
    }
}

fn default_cors_filter_max_age() -> u32 {
    5
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CorsMethod {
    /// `GET`.
    #[serde(rename = "GET")]
    Get,
    /// `HEAD`.
    #[serde(rename = "HEAD")]
    Head,
    /// `POST`.
    #[serde(rename = "POST")]
    Post,
    /// `PUT`.
    #[serde(rename = "PUT")]
    Put,
    /// `DELETE`.
    #[serde(rename = "DELETE")]
    Delete,
    /// `CONNECT`.
    #[serde(rename = "CONNECT")]
    Connect,
    /// `OPTIONS`.
    #[serde(rename = "OPTIONS")]
    Options,
    /// `TRACE`.
    #[serde(rename = "TRACE")]
    Trace,
    /// `PATCH`.
    #[serde(rename = "PATCH")]
    Patch,
    /// `*`.
    #[serde(rename = "*")]
    Any,
}

impl CorsMethod {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Any => "*",
        }
    }
}

/// HTTPBackendRef defines how a HTTPRoute forwards a HTTP request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpBackendRef {
    /// Filters defined at this level should be executed if and only if the request is being
    /// forwarded to the backend defined here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpFilter>,
    /// Group is the group of the referent.
    #[serde(default = "default_http_backend_ref_group")]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent.
    #[serde(default = "default_http_backend_ref_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port specifies the destination port number to use for this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Weight specifies the proportion of requests forwarded to the referenced backend.
    #[serde(default = "default_http_backend_ref_weight")]
    pub weight: u32,
}

impl Default for HttpBackendRef {
    fn default() -> Self {
        Self {
            filters: Default::default(),
            group: default_http_backend_ref_group(),
            kind: default_http_backend_ref_kind(),
            name: Default::default(),
            namespace: None,
            port: None,
            weight: default_http_backend_ref_weight(),
        }
    }
}

fn default_http_backend_ref_group() -> String {
    String::new()
}

fn default_http_backend_ref_kind() -> String {
    "Service".to_owned()
}

fn default_http_backend_ref_weight() -> u32 {
    1
}

/// HTTPRouteFilter defines processing steps that must be completed during the request or response
/// lifecycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpFilter {
    /// CORS defines a schema for a filter that responds to the cross-origin request based on HTTP
    /// response header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsFilter>,
    /// ExtensionRef is an optional, implementation-specific extension to the "filter" behavior.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// ExternalAuth configures settings related to sending request details to an external auth
    /// service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuthFilter>,
    /// RequestHeaderModifier defines a schema for a filter that modifies request headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    /// RequestMirror defines a schema for a filter that mirrors requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<RequestMirrorFilter>,
    /// RequestRedirect defines a schema for a filter that responds to the request with an HTTP
    /// redirection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RequestRedirectFilter>,
    /// ResponseHeaderModifier defines a schema for a filter that modifies response headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderModifier>,
    /// Type identifies the type of filter to apply.
    pub type_: HttpFilterType,
    /// URLRewrite defines a schema for a filter that modifies a request during forwarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewriteFilter>,
}

/// Type identifies the type of filter to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HttpFilterType {
    /// `RequestHeaderModifier`.
    RequestHeaderModifier,
    /// `ResponseHeaderModifier`.
    ResponseHeaderModifier,
    /// `RequestMirror`.
    RequestMirror,
    /// `RequestRedirect`.
    RequestRedirect,
    /// `URLRewrite`.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    /// `ExtensionRef`.
    ExtensionRef,
    /// `CORS`.
    #[serde(rename = "CORS")]
    Cors,
    /// `ExternalAuth`.
    ExternalAuth,
}

impl HttpFilterType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestHeaderModifier => "RequestHeaderModifier",
            Self::ResponseHeaderModifier => "ResponseHeaderModifier",
            Self::RequestMirror => "RequestMirror",
            Self::RequestRedirect => "RequestRedirect",
            Self::UrlRewrite => "URLRewrite",
            Self::ExtensionRef => "ExtensionRef",
            Self::Cors => "CORS",
            Self::ExternalAuth => "ExternalAuth",
        }
    }
}

/// Method specifies HTTP method matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HttpMethod {
    /// `GET`.
    #[serde(rename = "GET")]
    Get,
    /// `HEAD`.
    #[serde(rename = "HEAD")]
    Head,
    /// `POST`.
    #[serde(rename = "POST")]
    Post,
    /// `PUT`.
    #[serde(rename = "PUT")]
    Put,
    /// `DELETE`.
    #[serde(rename = "DELETE")]
    Delete,
    /// `CONNECT`.
    #[serde(rename = "CONNECT")]
    Connect,
    /// `OPTIONS`.
    #[serde(rename = "OPTIONS")]
    Options,
    /// `TRACE`.
    #[serde(rename = "TRACE")]
    Trace,
    /// `PATCH`.
    #[serde(rename = "PATCH")]
    Patch,
}

impl HttpMethod {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
        }
    }
}

/// Path defines parameters used to modify the path of the incoming request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathModifier {
    /// ReplaceFullPath specifies the value with which to replace the full path of a request during a
    /// rewrite or redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// ReplacePrefixMatch specifies the value with which to replace the prefix match of a request
    /// during a rewrite or redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
    /// Type defines the type of path modifier.
    pub type_: PathModifierType,
}

/// HTTPRouteMatch defines the predicate used to match requests to a given action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// Headers specifies HTTP request header matchers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Method specifies HTTP method matcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Path specifies a HTTP request path matcher.
    #[serde(default = "default_http_route_match_path")]
    pub path: PathMatch,
    /// QueryParams specifies HTTP query parameter matchers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<QueryParamMatch>,
}

impl Default for HttpRouteMatch {
    fn default() -> Self {
        Self {
            headers: Default::default(),
            method: None,
            path: default_http_route_match_path(),
            query_params: Default::default(),
        }
    }
}

fn default_http_route_match_path() -> PathMatch {
    PathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() }
}

/// Retry defines the configuration for when to retry an HTTP request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRetry {
    /// Attempts specifies the maximum number of times an individual request from the Gateway to a
    /// backend should be retried in addition to the initial request.
    #[serde(default = "default_http_route_retry_attempts")]
    pub attempts: u32,
    /// Backoff specifies the base interval for a backoff strategy between retry attempts and is
    /// represented in Gateway API Duration formatting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// Codes defines the HTTP response status codes for which a backend request should be retried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
}

impl Default for HttpRouteRetry {
    fn default() -> Self {
        Self { attempts: default_http_route_retry_attempts(), backoff: None, codes: Default::default() }
    }
}

fn default_http_route_retry_attempts() -> u32 {
    1
}

/// HTTPRouteRule defines semantics for matching an HTTP request based on conditions (matches),
/// processing it (filters), and forwarding the request to an API object (backendRefs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HttpBackendRef>,
    /// Filters define the filters that are applied to requests that match this rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpFilter>,
    /// Matches define conditions used for matching the rule against incoming HTTP requests.
    #[serde(default = "default_http_route_rule_matches")]
    pub matches: Vec<HttpRouteMatch>,
    /// Name is the name of the route rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Retry defines the configuration for when to retry an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<HttpRouteRetry>,
    /// Deprecated: use the Backend resource for session persistence (GEP-4894).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Timeouts defines the timeouts that can be configured for an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HttpRouteTimeouts>,
}

impl Default for HttpRouteRule {
    fn default() -> Self {
        Self {
            backend_refs: Default::default(),
            filters: Default::default(),
            matches: default_http_route_rule_matches(),
            name: None,
            retry: None,
            session_persistence: None,
            timeouts: None,
        }
    }
}

fn default_http_route_rule_matches() -> Vec<HttpRouteMatch> {
    vec![HttpRouteMatch {
        path: PathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() },
        ..Default::default()
    }]
}

/// Spec defines the desired state of HTTPRoute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// Hostnames defines a set of hostnames that should match against the HTTP Host header to select
    /// a HTTPRoute used to process the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of HTTP matchers, filters and actions.
    #[serde(default = "default_http_route_spec_rules")]
    pub rules: Vec<HttpRouteRule>,
    /// UseDefaultGateways indicates the default Gateway scope to use for this Route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

impl Default for HttpRouteSpec {
    fn default() -> Self {
        Self {
            hostnames: Default::default(),
            parent_refs: Default::default(),
            rules: default_http_route_spec_rules(),
            use_default_gateways: None,
        }
    }
}

fn default_http_route_spec_rules() -> Vec<HttpRouteRule> {
    vec![HttpRouteRule {
        matches: vec![HttpRouteMatch {
            path: PathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() },
            ..Default::default()
        }],
        ..Default::default()
    }]
}

/// Timeouts defines the timeouts that can be configured for an HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteTimeouts {
    /// BackendRequest specifies a timeout for an individual request from the gateway to a backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<Duration>,
    /// Request specifies the maximum duration for a gateway to respond to an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
}

/// Path specifies a HTTP request path matcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathMatch {
    /// Type specifies how to match against the path Value.
    #[serde(default = "default_path_match_type")]
    pub type_: PathMatchType,
    /// Value of the HTTP path to match against.
    #[serde(default = "default_path_match_value")]
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { type_: default_path_match_type(), value: default_path_match_value() }
    }
}

fn default_path_match_type() -> PathMatchType {
    PathMatchType::PathPrefix
}

fn default_path_match_value() -> String {
    "/".to_owned()
}

/// Type specifies how to match against the path Value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathMatchType {
    /// `Exact`.
    Exact,
    /// `PathPrefix`.
    PathPrefix,
    /// `RegularExpression`.
    RegularExpression,
}

impl PathMatchType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::PathPrefix => "PathPrefix",
            Self::RegularExpression => "RegularExpression",
        }
    }
}

/// Type defines the type of path modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathModifierType {
    /// `ReplaceFullPath`.
    ReplaceFullPath,
    /// `ReplacePrefixMatch`.
    ReplacePrefixMatch,
}

impl PathModifierType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplaceFullPath => "ReplaceFullPath",
            Self::ReplacePrefixMatch => "ReplacePrefixMatch",
        }
    }
}

/// HTTPQueryParamMatch describes how to select a HTTP route by matching HTTP query parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryParamMatch {
    /// Name is the name of the HTTP query param to be matched.
    pub name: String,
    /// Type specifies how to match against the value of the query parameter.
    #[serde(default = "default_query_param_match_type")]
    pub type_: MatchType,
    /// Value is the value of HTTP query param to be matched.
    pub value: String,
}

impl Default for QueryParamMatch {
    fn default() -> Self {
        Self { name: Default::default(), type_: default_query_param_match_type(), value: Default::default() }
    }
}

fn default_query_param_match_type() -> MatchType {
    MatchType::Exact
}

/// Scheme is the scheme to be used in the value of the `Location` header in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RedirectScheme {
    /// `http`.
    #[serde(rename = "http")]
    Http,
    /// `https`.
    #[serde(rename = "https")]
    Https,
}

impl RedirectScheme {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// RequestRedirect defines a schema for a filter that responds to the request with an HTTP
/// redirection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirectFilter {
    /// Hostname is the hostname to be used in the value of the `Location` header in the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path defines parameters used to modify the path of the incoming request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
    /// Port is the port to be used in the value of the `Location` header in the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Scheme is the scheme to be used in the value of the `Location` header in the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<RedirectScheme>,
    /// StatusCode is the HTTP status code to be used in response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// URLRewrite defines a schema for a filter that modifies a request during forwarding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlRewriteFilter {
    /// Hostname is the value to be used to replace the Host header value during forwarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path defines a path rewrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
}
