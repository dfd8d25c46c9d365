//! The mesh: identities that the gateway holds, whom it believes, how a meshed endpoint is reached.
//!
//! SPIFFE IDs are text here and compared byte by byte; `identity` parses them. Whoever must not be dialled in
//! plaintext has a [`Reach`] that has no plaintext.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{IdentityName, Origin, SecretName, TrustAnchors, span};

/// A workload identity of the gateway's own: who it is, and who says so (GatewayParameters `mesh`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct GatewayIdentity {
    /// The trust domain that it is in.
    pub trust_domain: Arc<str>,
    /// The SPIFFE ID that its SVID must carry; none: whichever the source gives (Workload API, files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiffe_id: Option<Arc<str>>,
    /// By which rules peers are verified.
    pub profile: PeerProfile,
    /// Where the SVID and the bundles come from.
    pub source: IdentitySource,
}

/// The rules for a peer's certificate beyond its chain.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerProfile {
    /// X.509-SVID, every MUST of it.
    #[default]
    SpiffeStrict,
    /// What Istio's CAs issue: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
    Istio,
    /// What Linkerd's identity service issues: one DNS name, no URI.
    LinkerdDns,
}

/// Where an identity comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentitySource {
    /// The issuer in the same process, or the controller's.
    BuiltIn {
        /// Life of an SVID.
        #[serde(with = "span")]
        ttl: Duration,
    },
    /// `istio.v1.auth.IstioCertificateService`: istiod, istio-csr.
    IstioCa(IstioCa),
    /// A SPIFFE Workload API: `unix:///absolute/path` or `tcp://IP:PORT`.
    WorkloadApi {
        /// The socket.
        socket: Arc<str>,
    },
    /// Linkerd's identity service.
    Linkerd(LinkerdCa),
    /// A Secret with `tls.crt`, `tls.key`, `ca.crt` and maybe `ca-crl.pem`.
    Secret {
        /// Leaf, intermediates and key.
        key_pair: SecretName,
        /// Roots of the own trust domain.
        roots: TrustAnchors,
        /// Revocation lists, as PEM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crl: Option<Arc<str>>,
    },
    /// Files that somebody else renews; watched.
    Files {
        /// PEM: leaf, intermediates.
        certificate: Arc<str>,
        /// PEM: the key.
        key: Arc<str>,
        /// PEM: roots of the own trust domain.
        roots: Arc<str>,
        /// PEM: revocation lists; a path that does not exist is an empty list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crl: Option<Arc<str>>,
    },
    /// What was asked for could not be resolved: there is no identity, and what needs it fails closed.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// How to ask an Istio CA.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct IstioCa {
    /// `HOST:PORT`; the host is verified against the CA's certificate.
    pub address: Arc<str>,
    /// What the CA's own certificate must chain to.
    pub roots: RootsFrom,
    /// Path of the token that says who we are; read anew for every call.
    pub token: Arc<str>,
    /// Metadata `clusterid`.
    pub cluster_id: Arc<str>,
    /// Life to ask for; the CA refuses more than its maximum.
    #[serde(with = "span")]
    pub ttl: Duration,
    /// Path of the mesh's revocation list; a path that does not exist is an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<Arc<str>>,
}

/// How to ask Linkerd's identity service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LinkerdCa {
    /// `HOST:PORT`.
    pub address: Arc<str>,
    /// The DNS-like name of the service itself.
    pub server_name: Arc<str>,
    /// The DNS-like name that we ask for: `SA.NS.serviceaccount.identity.CONTROL-NS.TRUST-DOMAIN`.
    pub name: Arc<str>,
    /// Trust anchors: of the service and of every peer.
    pub roots: RootsFrom,
    /// Path of the token that says who we are; read anew for every call.
    pub token: Arc<str>,
}

/// Where roots are read from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RootsFrom {
    /// The system's.
    System,
    /// These.
    Pem(TrustAnchors),
    /// This file, read again when it changes.
    File(Arc<str>),
}

/// Another trust domain's bundle (FederatedTrustDomain).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FederatedDomain {
    /// The object.
    pub origin: Origin,
    /// Where the bundle is published; none: the bootstrap bundle is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<BundleEndpoint>,
    /// The bundle to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapBundle>,
}

/// A SPIFFE bundle endpoint.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct BundleEndpoint {
    /// `https` URL.
    pub url: Arc<str>,
    /// How its server is authenticated.
    pub profile: BundleProfile,
}

/// How a bundle endpoint's server is authenticated.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BundleProfile {
    /// `https_web`: by the system's roots and its host name.
    HttpsWeb,
    /// `https_spiffe`: by this SPIFFE ID and the bundle that is known so far.
    HttpsSpiffe {
        /// The server's SPIFFE ID.
        server_id: Arc<str>,
    },
}

/// A bundle to begin with.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BootstrapBundle {
    /// A SPIFFE bundle document (JWKS).
    Document(Arc<str>),
    /// Roots.
    Pem(TrustAnchors),
}

/// How an endpoint is reached.
#[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// As the backend's own `tls` says.
    #[default]
    AsBackend,
    /// By mesh mTLS, and in no other way.
    Mesh(Arc<MeshPeer>),
    /// It is meshed, but it cannot be said who it is or who we are: no connection is made.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// A meshed endpoint.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct MeshPeer {
    /// What is spoken.
    pub wire: MeshWire,
    /// Who we are to it.
    pub identity: IdentityName,
    /// SNI; none sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Arc<str>>,
    /// Its certificate must carry one of these SPIFFE IDs; empty matches nobody.
    pub ids: Vec<Arc<str>>,
}

/// What is spoken to a meshed endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MeshWire {
    /// mTLS as Istio's sidecars speak it: ALPN `istio`, `istio-http/1.1`, `istio-h2`.
    Istio,
    /// Plain mTLS with SVIDs, ALPN `h2` and `http/1.1`.
    Spiffe,
}

/// Mesh peers as clients of a listener (ListenerPolicy `mesh`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct MeshClients {
    /// Whose bundles verify them, and whose SVID is shown where the listener has no certificate.
    pub identity: IdentityName,
    /// Whether others are let in.
    pub mode: MeshMode,
    /// A peer must match one of these; empty matches nobody.
    pub peers: Vec<PeerMatch>,
}

/// Whether a listener takes clients that are no mesh peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MeshMode {
    /// A peer may show its SVID; one that is shown must verify.
    Permissive,
    /// A peer must show its SVID.
    Strict,
}

/// A set of peers, by verified identity. Never an expression over text.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerMatch {
    /// This SPIFFE ID (or, of Linkerd, DNS-like name).
    Id(Arc<str>),
    /// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/*`.
    Namespace {
        /// Trust domain.
        trust_domain: Arc<str>,
        /// Namespace.
        namespace: Arc<str>,
    },
    /// Anybody of this trust domain.
    TrustDomain(Arc<str>),
}
