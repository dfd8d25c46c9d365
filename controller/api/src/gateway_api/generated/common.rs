//! Shapes that several Gateway API kinds share.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// AllowedRoutes defines the types of routes that MAY be attached to a Listener and the trusted
/// namespaces where those Route resources MAY be present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// Kinds specifies the groups and kinds of Routes that are allowed to bind to this Gateway
    /// Listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteGroupKind>,
    /// Namespaces indicates namespaces from which Routes may be attached to this Listener.
    #[serde(default = "default_allowed_routes_namespaces")]
    pub namespaces: RouteNamespaces,
}

impl Default for AllowedRoutes {
    fn default() -> Self {
        Self { kinds: Default::default(), namespaces: default_allowed_routes_namespaces() }
    }
}

fn default_allowed_routes_namespaces() -> RouteNamespaces {
    RouteNamespaces { from: RoutesFrom::Same, ..Default::default() }
}

/// BackendRef is a reference to a backend to send authorization requests to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendObjectReference {
    /// Group is the group of the referent.
    #[serde(default = "default_backend_object_reference_group")]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent.
    #[serde(default = "default_backend_object_reference_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port specifies the destination port number to use for this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Default for BackendObjectReference {
    fn default() -> Self {
        Self {
            group: default_backend_object_reference_group(),
            kind: default_backend_object_reference_kind(),
            name: Default::default(),
            namespace: None,
            port: None,
        }
    }
}

fn default_backend_object_reference_group() -> String {
    String::new()
}

fn default_backend_object_reference_kind() -> String {
    "Service".to_owned()
}

/// BackendRef defines how a Route should forward a request to a Kubernetes resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Group is the group of the referent.
    #[serde(default = "default_backend_ref_group")]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent.
    #[serde(default = "default_backend_ref_kind")]
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
    #[serde(default = "default_backend_ref_weight")]
    pub weight: u32,
}

impl Default for BackendRef {
    fn default() -> Self {
        Self {
            group: default_backend_ref_group(),
            kind: default_backend_ref_kind(),
            name: Default::default(),
            namespace: None,
            port: None,
            weight: default_backend_ref_weight(),
        }
    }
}

fn default_backend_ref_group() -> String {
    String::new()
}

fn default_backend_ref_kind() -> String {
    "Service".to_owned()
}

fn default_backend_ref_weight() -> u32 {
    1
}

/// Validation contains backend TLS validation configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsValidation {
    /// CACertificateRefs contains one or more references to Kubernetes objects that contain a
    /// PEM-encoded TLS CA certificate bundle, which is used to validate a TLS handshake between the
    /// Gateway and backend Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// Hostname is used for two purposes in the connection between Gateways and backends.
    pub hostname: String,
    /// SubjectAltNames contains one or more Subject Alternative Names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// WellKnownCACertificates specifies whether a well-known set of CA certificates may be used in
    /// the TLS handshake between the gateway and backend pod.
    #[serde(rename = "wellKnownCACertificates", default, skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<String>,
}

/// LifetimeType specifies whether the cookie has a permanent or session-based lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CookieLifetime {
    /// `Permanent`.
    Permanent,
    /// `Session`.
    Session,
}

impl CookieLifetime {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "Permanent",
            Self::Session => "Session",
        }
    }
}

/// HTTPExternalAuthFilter defines a filter that modifies requests by sending request details to an
/// external authorization server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthFilter {
    /// BackendRef is a reference to a backend to send authorization requests to.
    pub backend_ref: BackendObjectReference,
    /// ForwardBody controls if requests to the authorization server should include the body of the
    /// client request; and if so, how big that body is allowed to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ForwardBodyConfig>,
    /// GRPCAuthConfig contains configuration for communication with ext\_authz protocol-speaking
    /// backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcAuthConfig>,
    /// HTTPAuthConfig contains configuration for communication with HTTP-speaking backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpAuthConfig>,
    /// ExternalAuthProtocol describes which protocol to use when communicating with an ext\_authz
    /// authorization server.
    pub protocol: ExternalAuthProtocol,
}

/// ExternalAuthProtocol describes which protocol to use when communicating with an ext\_authz
/// authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExternalAuthProtocol {
    /// `HTTP`.
    #[serde(rename = "HTTP")]
    Http,
    /// `GRPC`.
    #[serde(rename = "GRPC")]
    Grpc,
}

impl ExternalAuthProtocol {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "GRPC",
        }
    }
}

/// ForwardBody controls if requests to the authorization server should include the body of the
/// client request; and if so, how big that body is allowed to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardBodyConfig {
    /// MaxSize specifies how large in bytes the largest body that will be buffered and sent to the
    /// authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
}

/// Fraction represents the fraction of requests that should be mirrored to BackendRef.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fraction {
    #[serde(default = "default_fraction_denominator")]
    pub denominator: u32,
    pub numerator: u32,
}

impl Default for Fraction {
    fn default() -> Self {
        Self { denominator: default_fraction_denominator(), numerator: Default::default() }
    }
}

fn default_fraction_denominator() -> u32 {
    100
}

/// DefaultScope, when set, configures the Gateway as a default Gateway, meaning it will dynamically
/// and implicitly have Routes (e.g. HTTPRoute) attached to it, according to the scope configured
/// here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GatewayDefaultScope {
    /// `All`.
    All,
    /// `None`.
    None,
}

impl GatewayDefaultScope {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::None => "None",
        }
    }
}

/// GRPCAuthConfig contains configuration for communication with ext\_authz protocol-speaking
/// backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcAuthConfig {
    /// AllowedRequestHeaders specifies what headers from the client request will be sent to the
    /// authorization server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
}

/// HTTPHeaderMatch describes how to select a HTTP route by matching HTTP request headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Name is the name of the HTTP Header to be matched.
    pub name: String,
    /// Type specifies how to match against the value of the header.
    #[serde(default = "default_header_match_type")]
    pub type_: MatchType,
    /// Value is the value of HTTP Header to be matched.
    pub value: String,
}

impl Default for HeaderMatch {
    fn default() -> Self {
        Self { name: Default::default(), type_: default_header_match_type(), value: Default::default() }
    }
}

fn default_header_match_type() -> MatchType {
    MatchType::Exact
}

/// RequestHeaderModifier defines a schema for a filter that modifies request headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Add adds the given header(s) (name, value) to the request before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HttpHeader>,
    /// Remove the given header(s) from the HTTP request before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Set overwrites the request with the given header (name, value) before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HttpHeader>,
}

/// HTTPAuthConfig contains configuration for communication with HTTP-speaking backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAuthConfig {
    /// AllowedRequestHeaders specifies what additional headers from the client request will be sent
    /// to the authorization server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
    /// AllowedResponseHeaders specifies what headers from the authorization response will be copied
    /// into the request to the backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
    /// Path sets the prefix that paths from the client request will have added when forwarded to the
    /// authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// HTTPHeader represents an HTTP Header name and value as defined by RFC 7230.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name is the name of the HTTP Header to be matched.
    pub name: String,
    /// Value is the value of HTTP Header to be matched.
    pub value: String,
}

/// TLSRouteRule is the configuration for a given rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
    /// Name is the name of the route rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Spec defines the desired state of TCPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteSpec {
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of TCP matchers and actions.
    #[serde(default)]
    pub rules: Vec<L4RouteRule>,
    /// UseDefaultGateways indicates the default Gateway scope to use for this Route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

/// Listener embodies the concept of a logical endpoint where a Gateway accepts network connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// AllowedRoutes defines the types of routes that MAY be attached to a Listener and the trusted
    /// namespaces where those Route resources MAY be present.
    #[serde(default = "default_listener_allowed_routes")]
    pub allowed_routes: AllowedRoutes,
    /// Filters groups the pre-routing filter lists that run on every request accepted on this
    /// Listener, before route matching is performed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<ListenerFilters>,
    /// Hostname specifies the virtual hostname to match for protocol types that define this concept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Name is the name of the Listener.
    pub name: String,
    /// Port is the network port.
    pub port: u16,
    /// Protocol specifies the network protocol this listener expects to receive.
    pub protocol: String,
    /// TLS is the TLS configuration for the Listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            allowed_routes: default_listener_allowed_routes(),
            filters: None,
            hostname: None,
            name: Default::default(),
            port: Default::default(),
            protocol: Default::default(),
            tls: None,
        }
    }
}

fn default_listener_allowed_routes() -> AllowedRoutes {
    AllowedRoutes {
        namespaces: RouteNamespaces { from: RoutesFrom::Same, ..Default::default() },
        ..Default::default()
    }
}

/// ListenerFilter is one element of a ListenerFilters.Requests list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFilter {
    /// LocalObjectReference identifies an API object within the namespace of the referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// HTTPExternalAuthFilter defines a filter that modifies requests by sending request details to
    /// an external authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuthFilter>,
    /// Type identifies which variant of the discriminated union below is populated.
    pub type_: ListenerFilterType,
}

/// Type identifies which variant of the discriminated union below is populated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenerFilterType {
    /// `ExternalAuth`.
    ExternalAuth,
    /// `ExtensionRef`.
    ExtensionRef,
}

impl ListenerFilterType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExternalAuth => "ExternalAuth",
            Self::ExtensionRef => "ExtensionRef",
        }
    }
}

/// Filters groups the pre-routing filter lists that run on every request accepted on this Listener,
/// before route matching is performed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFilters {
    /// Implementations MUST execute the filters in the exact order they appear here and MUST NOT
    /// reorder them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<ListenerFilter>,
}

/// ListenerStatus is the status associated with a Listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// AttachedRoutes represents the total number of Routes that have been successfully attached to
    /// this Listener.
    pub attached_routes: i32,
    /// Conditions describe the current condition of this listener.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Name is the name of the Listener that this status corresponds to.
    pub name: String,
    /// SupportedKinds is the list indicating the Kinds supported by this listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_kinds: Vec<RouteGroupKind>,
}

/// TLS is the TLS configuration for the Listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// CertificateRefs contains a series of references to Kubernetes objects that contains TLS
    /// certificates and private keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Mode defines the TLS behavior for the TLS session initiated by the client.
    #[serde(default = "default_listener_tls_mode")]
    pub mode: TlsMode,
    /// Options are a list of key/value pairs to enable extended TLS configuration for each
    /// implementation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            certificate_refs: Default::default(),
            mode: default_listener_tls_mode(),
            options: Default::default(),
        }
    }
}

fn default_listener_tls_mode() -> TlsMode {
    TlsMode::Terminate
}

/// ParametersRef is a reference to a resource that contains the configuration parameters
/// corresponding to the Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is kind of the referent.
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
}

/// Type specifies how to match against the value of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MatchType {
    /// `Exact`.
    Exact,
    /// `RegularExpression`.
    RegularExpression,
}

impl MatchType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::RegularExpression => "RegularExpression",
        }
    }
}

/// ParametersRef is a reference to a resource that contains the configuration parameters
/// corresponding to the GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is kind of the referent.
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// ParentReference identifies an API object (usually a Gateway) that can be considered a parent of
/// this resource (usually a route).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Group is the group of the referent.
    #[serde(default = "default_parent_reference_group")]
    pub group: String,
    /// Kind is kind of the referent.
    #[serde(default = "default_parent_reference_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port is the network port this Route targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// SectionName is the name of a section within the target resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

impl Default for ParentReference {
    fn default() -> Self {
        Self {
            group: default_parent_reference_group(),
            kind: default_parent_reference_kind(),
            name: Default::default(),
            namespace: None,
            port: None,
            section_name: None,
        }
    }
}

fn default_parent_reference_group() -> String {
    "gateway.networking.k8s.io".to_owned()
}

fn default_parent_reference_kind() -> String {
    "Gateway".to_owned()
}

/// PolicyAncestorStatus describes the status of a route with respect to an associated Ancestor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// AncestorRef corresponds with a ParentRef in the spec that this PolicyAncestorStatus struct
    /// describes the status of.
    pub ancestor_ref: ParentReference,
    /// Conditions describes the status of the Policy with respect to the given Ancestor.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// ControllerName is a domain/path string that indicates the name of the controller that wrote
    /// this status.
    pub controller_name: String,
}

/// Status defines the current state of BackendTLSPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Ancestors is a list of ancestor resources (usually Gateways) that are associated with the
    /// policy, and the status of the policy with respect to each ancestor.
    #[serde(default)]
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// RequestMirror defines a schema for a filter that mirrors requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirrorFilter {
    /// BackendRef references a resource where mirrored requests are sent.
    pub backend_ref: BackendObjectReference,
    /// Fraction represents the fraction of requests that should be mirrored to BackendRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// Percent represents the percentage of requests that should be mirrored to BackendRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u16>,
}

/// RouteGroupKind indicates the group and kind of a Route resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteGroupKind {
    /// Group is the group of the Route.
    #[serde(default = "default_route_group_kind_group")]
    pub group: String,
    /// Kind is the kind of the Route.
    pub kind: String,
}

impl Default for RouteGroupKind {
    fn default() -> Self {
        Self { group: default_route_group_kind_group(), kind: Default::default() }
    }
}

fn default_route_group_kind_group() -> String {
    "gateway.networking.k8s.io".to_owned()
}

/// Namespaces indicates namespaces from which Routes may be attached to this Listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteNamespaces {
    /// From indicates where Routes will be selected for this Gateway.
    #[serde(default = "default_route_namespaces_from")]
    pub from: RoutesFrom,
    /// Selector must be specified when From is set to "Selector".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl Default for RouteNamespaces {
    fn default() -> Self {
        Self { from: default_route_namespaces_from(), selector: None }
    }
}

fn default_route_namespaces_from() -> RoutesFrom {
    RoutesFrom::Same
}

/// RouteParentStatus describes the status of a route with respect to an associated Parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// Conditions describes the status of the route with respect to the Gateway.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// ControllerName is a domain/path string that indicates the name of the controller that wrote
    /// this status.
    pub controller_name: String,
    /// ParentRef corresponds with a ParentRef in the spec that this RouteParentStatus struct
    /// describes the status of.
    pub parent_ref: ParentReference,
}

/// Status defines the current state of HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Parents is a list of parent resources (usually Gateways) that are associated with the route,
    /// and the status of the route with respect to each parent.
    #[serde(default)]
    pub parents: Vec<RouteParentStatus>,
}

/// From indicates where Routes will be selected for this Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RoutesFrom {
    /// `All`.
    All,
    /// `Selector`.
    Selector,
    /// `Same`.
    Same,
}

impl RoutesFrom {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Selector => "Selector",
            Self::Same => "Same",
        }
    }
}

/// SecretObjectReference identifies an API object including its namespace, defaulting to Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretObjectReference {
    /// Group is the group of the referent.
    #[serde(default = "default_secret_object_reference_group")]
    pub group: String,
    /// Kind is kind of the referent.
    #[serde(default = "default_secret_object_reference_kind")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referenced object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Default for SecretObjectReference {
    fn default() -> Self {
        Self {
            group: default_secret_object_reference_group(),
            kind: default_secret_object_reference_kind(),
            name: Default::default(),
            namespace: None,
        }
    }
}

fn default_secret_object_reference_group() -> String {
    String::new()
}

fn default_secret_object_reference_kind() -> String {
    "Secret".to_owned()
}

/// Cookie provides configuration settings that are specific to cookie-based session persistence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionCookie {
    /// LifetimeType specifies whether the cookie has a permanent or session-based lifetime.
    #[serde(default = "default_session_cookie_lifetime_type")]
    pub lifetime_type: CookieLifetime,
    /// Name defines the name of the cookie used for session persistence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path defines the cookie Path attribute.
    #[serde(default = "default_session_cookie_path")]
    pub path: String,
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self {
            lifetime_type: default_session_cookie_lifetime_type(),
            name: None,
            path: default_session_cookie_path(),
        }
    }
}

fn default_session_cookie_lifetime_type() -> CookieLifetime {
    CookieLifetime::Session
}

fn default_session_cookie_path() -> String {
    "/".to_owned()
}

/// Header provides configuration settings that are specific to header-based session persistence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionHeader {
    /// Name defines the name of the header used for session persistence.
    pub name: String,
}

/// Deprecated: use the Backend resource for session persistence (GEP-4894).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// AbsoluteTimeout defines the absolute timeout of the persistent session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<Duration>,
    /// Cookie provides configuration settings that are specific to cookie-based session persistence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<SessionCookie>,
    /// Header provides configuration settings that are specific to header-based session persistence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<SessionHeader>,
    /// Type defines the type of session persistence such as through the use of a header or cookie.
    #[serde(default = "default_session_persistence_type")]
    pub type_: SessionPersistenceType,
}

impl Default for SessionPersistence {
    fn default() -> Self {
        Self { absolute_timeout: None, cookie: None, header: None, type_: default_session_persistence_type() }
    }
}

fn default_session_persistence_type() -> SessionPersistenceType {
    SessionPersistenceType::Cookie
}

/// Type defines the type of session persistence such as through the use of a header or cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SessionPersistenceType {
    /// `Cookie`.
    Cookie,
    /// `Header`.
    Header,
}

impl SessionPersistenceType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "Cookie",
            Self::Header => "Header",
        }
    }
}

/// SubjectAltName represents Subject Alternative Name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltName {
    /// Hostname contains Subject Alternative Name specified in DNS name format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Type determines the format of the Subject Alternative Name.
    pub type_: SubjectAltNameType,
    /// URI contains Subject Alternative Name specified in a full URI format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// Type determines the format of the Subject Alternative Name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SubjectAltNameType {
    /// `Hostname`.
    Hostname,
    /// `URI`.
    #[serde(rename = "URI")]
    Uri,
}

impl SubjectAltNameType {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hostname => "Hostname",
            Self::Uri => "URI",
        }
    }
}

/// Mode defines the TLS behavior for the TLS session initiated by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsMode {
    /// `Terminate`.
    Terminate,
    /// `Passthrough`.
    Passthrough,
}

impl TlsMode {
    /// The word that the object's YAML uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "Terminate",
            Self::Passthrough => "Passthrough",
        }
    }
}
