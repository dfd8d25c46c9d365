//! `mesh` of GatewayParameters: which mesh the gateway belongs to, and where its identity comes from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::own::TrustDomain;

/// Which mesh the gateway belongs to, and who it is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.identity) || !has(self.identity.linkerd) || !has(self.kind) || self.kind in ['Auto', 'Linkerd', 'None']").message("identity.linkerd gives no SPIFFE ID; set kind: Linkerd, or name another source"))]
pub struct GatewayMesh {
    /// The mesh. Default: `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MeshKind")]
    pub kind: Option<MeshKind>,
    /// The gateway's own trust domain. Default: that of the built-in issuer where the identity is its,
    /// else `cluster.local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrustDomain")]
    pub trust_domain: Option<TrustDomain>,
    /// Where the gateway's identity comes from. Merged as a whole. Default: by `kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<MeshIdentity>,
}

/// A mesh. It decides by which rules peers are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeshKind {
    /// Istio's, if its CA and root are there; else that of the built-in issuer.
    #[default]
    Auto,
    /// Istio's.
    Istio,
    /// One of X.509-SVIDs, whoever issues them; without `identity` the built-in issuer.
    Spiffe,
    /// Linkerd's.
    Linkerd,
    /// None: no identity is fetched, and what needs one is closed.
    None,
}

/// Where an identity comes from; exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.istioCA), has(self.workloadAPI), has(self.linkerd), has(self.files), has(self.builtIn)].filter(x, x).size() == 1").message("identity needs exactly one of istioCA, workloadAPI, linkerd, files, builtIn"))]
pub struct MeshIdentity {
    /// An Istio CA: istiod, istio-csr.
    #[serde(default, rename = "istioCA", skip_serializing_if = "Option::is_none")]
    pub istio_ca: Option<IstioCa>,
    /// A SPIFFE Workload API, of a SPIRE agent say.
    #[serde(default, rename = "workloadAPI", skip_serializing_if = "Option::is_none")]
    pub workload_api: Option<WorkloadApi>,
    /// Linkerd's identity service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linkerd: Option<LinkerdIdentity>,
    /// A Secret or files that somebody else renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<IdentityFiles>,
    /// The issuer that comes with Diolkos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<BuiltInIdentity>,
}

/// An Istio CA.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ttl) || duration(self.ttl) > duration('0s')").message("ttl must be longer than 0s"))]
pub struct IstioCa {
    /// Host and port; the host is checked against the CA's certificate. Default:
    /// `istiod.istio-system.svc:15012`, or that of `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 259), regex(pattern = HOST_PORT))]
    pub address: Option<String>,
    /// What the CA's own certificate must chain to. Default: the file that Istio projects,
    /// `/var/run/secrets/istio/root-cert.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<IstioRoot>,
    /// Name of the cluster that the token is of, as Istio knows it. Default: `Kubernetes`.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub cluster_id: Option<String>,
    /// Istio revision whose istiod is asked. Default: empty, the one without a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 56), regex(pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$"))]
    pub revision: Option<String>,
    /// Life to ask for; the CA refuses more than its maximum. Default: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// File of the token that says who we are; read anew for every call.
    /// Default: `/var/run/secrets/tokens/istio-token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub token_path: Option<String>,
    /// File of the mesh's revocation list; one that does not exist is an empty list.
    /// Default: `/var/run/secrets/istio/crl/ca-crl.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub crl_path: Option<String>,
}

/// What an Istio CA's own certificate must chain to; exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.path), has(self.wellKnown)].filter(x, x).size() == 1").message("root needs exactly one of configMap, path, wellKnown"))]
pub struct IstioRoot {
    /// A ConfigMap in the Gateway's namespace, key `root-cert.pem`: `istio-ca-root-cert`, as Istio keeps it in every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map: Option<String>,
    /// A file, read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub path: Option<String>,
    /// The roots of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WellKnownRoots")]
    pub well_known: Option<WellKnownRoots>,
}

/// Roots that need no object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WellKnownRoots {
    /// Those of the system that the gateway runs on.
    #[default]
    System,
}

/// A SPIFFE Workload API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadApi {
    /// Its socket: `unix:///ABSOLUTE/PATH` or `tcp://IP:PORT`. Default: `unix:///run/spire/agent.sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.matches('^(unix:///[^?#]+|tcp://([0-9.]+|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5})$')").message("write the socket as unix:///ABSOLUTE/PATH or tcp://IP:PORT"))]
    pub socket: Option<String>,
}

/// Linkerd's identity service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkerdIdentity {
    /// Namespace of Linkerd's control plane. Default: `linkerd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub namespace: Option<String>,
    /// File of the trust anchors. Default: ConfigMap `linkerd-identity-trust-roots` of that namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub root_path: Option<String>,
    /// File of the token that says who we are; read anew for every call.
    /// Default: `/var/run/secrets/tokens/linkerd-identity-token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub token_path: Option<String>,
}

/// A Secret, or files; what somebody else renews.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretName) != (has(self.certificatePath) || has(self.keyPath) || has(self.rootsPath) || has(self.crlPath))").message("name either secretName, or certificatePath, keyPath and rootsPath"),
    validation = Rule::new("has(self.secretName) || (has(self.certificatePath) && has(self.keyPath) && has(self.rootsPath))").message("without secretName all of certificatePath, keyPath and rootsPath are needed"),
)]
pub struct IdentityFiles {
    /// A Secret in the Gateway's namespace: `tls.crt` (leaf, intermediates), `tls.key`, `ca.crt` (roots of the own
    /// trust domain), and maybe `ca-crl.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// PEM file: leaf, intermediates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub certificate_path: Option<String>,
    /// PEM file: the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub key_path: Option<String>,
    /// PEM file: roots of the own trust domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub roots_path: Option<String>,
    /// PEM file: revocation lists; one that does not exist is an empty list. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = ABSOLUTE))]
    pub crl_path: Option<String>,
}

/// The issuer that comes with Diolkos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ttl) || duration(self.ttl) > duration('0s')").message("ttl must be longer than 0s"))]
pub struct BuiltInIdentity {
    /// Life of an SVID; the issuer refuses more than its maximum. Default: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
}

const HOST_PORT: &str = "^[^/ ]+:[0-9]{1,5}$";

const ABSOLUTE: &str = "^/";

const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
