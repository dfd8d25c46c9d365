//! Mesh peers as policies name them: by exact ID, namespace or trust domain, never by an expression over text.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SpiffeId, TrustDomain};

/// Peers of a listener, by verified identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.spiffeID) != has(self.trustDomain)").message("name a peer by exactly one of spiffeID and trustDomain"),
    validation = Rule::new("!has(self.__namespace__) || has(self.trustDomain)").message("namespace goes with trustDomain; add it"),
)]
pub struct MeshPeerMatch {
    /// Everybody of this trust domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrustDomain")]
    pub trust_domain: Option<TrustDomain>,
    /// Of the trust domain only those of this namespace: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// This one.
    #[serde(default, rename = "spiffeID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SpiffeId")]
    pub spiffe_id: Option<SpiffeId>,
}

/// Who a backend may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshBackendPeer {
    /// Its SPIFFE ID.
    #[serde(rename = "spiffeID")]
    pub spiffe_id: SpiffeId,
}

/// Whether clients of a listener must be mesh peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerMeshMode {
    /// No SVID is asked for.
    #[default]
    Off,
    /// A client may show its SVID; one that is shown must verify. On an HTTP or TCP listener TLS is looked for.
    Permissive,
    /// A client must show its SVID.
    Strict,
}

/// Mesh peers as clients of a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.peers) || self.peers.size() == 0 || !has(self.mode) || self.mode != 'Off'").message("peers say nothing with mode: Off; set mode: Strict, or remove them"))]
pub struct ListenerMesh {
    /// Whether clients must be mesh peers. Default: `Off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ListenerMeshMode")]
    pub mode: Option<ListenerMeshMode>,
    /// Who they may be; one that fits is enough. Default, and if empty: everybody of the gateway's own trust domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub peers: Option<Vec<MeshPeerMatch>>,
}

/// What is spoken to a backend for the mesh's sake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackendMeshMode {
    /// What the endpoint is marked with: Istio's label `security.istio.io/tlsMode: istio` on its pod, or
    /// `diolkos.io/mesh: spiffe` on the Service or its namespace. Without a mark nothing.
    #[default]
    Auto,
    /// mTLS as Istio's sidecars speak it, to every endpoint.
    Istio,
    /// Istio's ambient mode. Comes later.
    Hbone,
    /// Plain mTLS with SVIDs, to every endpoint.
    Spiffe,
    /// Linkerd's. Comes later.
    Linkerd,
    /// No mesh mTLS: plaintext, or TLS as a BackendTLSPolicy says. The only way to plaintext for a meshed endpoint.
    Off,
}

/// How a backend is spoken to for the mesh's sake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.mode) || !(self.mode in ['Hbone', 'Linkerd'])").message("modes Hbone and Linkerd are not implemented yet; use Istio or Spiffe, or Off for no mesh mTLS"),
    validation = Rule::new("!has(self.peers) || self.peers.size() == 0 || !has(self.mode) || self.mode != 'Off'").message("peers say nothing with mode: Off; set mode: Istio or Spiffe, or remove them"),
)]
pub struct BackendMesh {
    /// What is spoken. Default: `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BackendMeshMode")]
    pub mode: Option<BackendMeshMode>,
    /// Who the endpoints may be; an endpoint's certificate must carry one of these SPIFFE IDs. Default, and if empty:
    /// the ID of the service account of each endpoint's own pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub peers: Option<Vec<MeshBackendPeer>>,
}
