//! PeerAuthentication: whether workloads take mTLS (istio.io/api, `security/v1beta1/peer_authentication.proto`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::object::Object;

/// Whether workloads take mTLS, plaintext, or both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerAuthentication {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    #[serde(default)]
    pub spec: PeerAuthenticationSpec,
}

impl Object for PeerAuthentication {
    const GROUP: &'static str = "security.istio.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "PeerAuthentication";
    const PLURAL: &'static str = "peerauthentications";
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a PeerAuthentication asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerAuthenticationSpec {
    /// The workloads; none: all of the namespace, and all of the mesh in the root namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// For all their ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MutualTls>,
    /// For some of their ports: port of the workload → setting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// Workloads by their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that a workload must carry, every one; none: every workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// A setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MutualTls {
    /// Whether mTLS is taken.
    #[serde(default)]
    pub mode: MutualTlsMode,
}

/// Whether mTLS is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MutualTlsMode {
    /// As the wider setting says; `PERMISSIVE` if there is none.
    #[default]
    Unset,
    /// Plaintext only.
    Disable,
    /// Both.
    Permissive,
    /// mTLS only.
    Strict,
}
