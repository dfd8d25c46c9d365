//! ListenerPolicy: the downstream connection.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, ListenerMesh, MeshPeerMatch, Quantity, TargetRef};
use crate::duration::Duration;
use crate::gateway_api::PolicyStatus;

/// The downstream connection of a listener: who may connect, how, and how much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "ListenerPolicy",
    plural = "listenerpolicies",
    shortname = "lpol",
    category = "diolkos",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "The downstream connection of a listener: who may connect, how, and how much.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.ancestors[0].conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ListenerPolicySpec {
    /// Gateways and ListenerSets in the policy's namespace, or one listener of them by `sectionName`.
    /// Default: none, and the policy does nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(t, t.group == 'gateway.networking.k8s.io' && t.kind in ['Gateway', 'ListenerSet'])").message("a ListenerPolicy attaches to group gateway.networking.k8s.io, kind Gateway or ListenerSet"))]
    pub target_refs: Vec<TargetRef>,
    /// Turns precedence round: what this policy says holds against narrower policies. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// PROXY protocol v1 and v2 from a load balancer in front. Merged as a whole.
    /// Default: `Off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ListenerProxyProtocol>,
    /// Whose forwarding headers are believed. Default: nobody's; they are removed and written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
    /// Mesh peers as clients. Default: no SVID is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<ListenerMesh>,
    /// TLS parameters of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerPolicyTls>,
    /// Bounds of the listener and of each of its connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ListenerLimits>,
}

/// PROXY protocol v1 and v2 from a load balancer in front.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode == 'Off' || (has(self.trusted) && self.trusted.size() > 0)").message("name the load balancer's addresses in trusted; with an empty list nobody may send a PROXY header"))]
pub struct ListenerProxyProtocol {
    /// Whether a header is looked for. Default: `Off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProxyProtocolMode")]
    pub mode: Option<ProxyProtocolMode>,
    /// Peers that may send a header. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub trusted: Option<Vec<Cidr>>,
}

/// Whether a PROXY header is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyProtocolMode {
    /// Never: a header is just bytes, and so a bad request.
    #[default]
    Off,
    /// A trusted peer may send one; everybody else is a plain client.
    Optional,
    /// Only trusted peers may connect, and each must send one.
    Required,
}

/// Whose `X-Forwarded-*` and `Forwarded` headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forwarded {
    /// How many proxies in front append to `X-Forwarded-For`: so many entries from the right are
    /// believed. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 16))]
    pub trusted_hops: Option<u32>,
    /// Peers whose headers are believed. With `trustedHops` 0, addresses in these ranges are skipped
    /// from the right of `X-Forwarded-For`. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub trusted: Option<Vec<Cidr>>,
    /// Mesh peers whose headers are believed, wherever they connect from; they must have shown their SVID, so `mesh`
    /// must ask for it. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub trusted_peers: Option<Vec<MeshPeerMatch>>,
    /// What becomes of `X-Forwarded-Client-Cert`. Default: `SanitizeSet` where mesh peers are asked for their SVID, else
    /// `Sanitize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ClientCertHeader")]
    pub client_cert: Option<ClientCertHeader>,
}

/// What becomes of `X-Forwarded-Client-Cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientCertHeader {
    /// It is removed.
    #[default]
    Sanitize,
    /// It is replaced by the facts of this connection's client certificate.
    SanitizeSet,
    /// This connection's facts are appended to a trusted peer's header.
    AppendForward,
    /// A trusted peer's header is left alone.
    ForwardOnly,
}

/// TLS parameters of a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerPolicyTls {
    /// The oldest TLS version that a client may use. Default: `"1.2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TlsVersion")]
    pub min_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Bounds of a listener and of each of its connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerLimits {
    /// Connections at once. Default: 0, which leaves only the limit of the whole proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests on one connection before it is closed. Default: 0, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u32>,
    /// Size of a request's header section. Default: `32Ki`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_bytes: Option<Quantity>,
    /// Header fields of a request. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub headers: Option<u32>,
    /// Size of a request target. Default: `8Ki`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri_bytes: Option<Quantity>,
    /// HTTP/2 streams at once on a connection. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub streams: Option<u32>,
    /// From the first byte awaited to the end of the header section. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<Duration>,
    /// From accept to the end of the TLS handshake. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_timeout: Option<Duration>,
    /// A connection without a stream or a byte is closed after this. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// The longest life of a connection. Default: `0s`, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}
