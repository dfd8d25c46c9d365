//! FederatedTrustDomain: another trust domain, and where its bundle comes from.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConditionsStatus, SpiffeId, TrustDomain};

/// Another trust domain whose workloads are believed to be who their SVIDs say, and where its bundle comes from.
/// Whether they are let in anywhere is another question: policies name them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "diolkos.io",
    version = "v1alpha1",
    kind = "FederatedTrustDomain",
    plural = "federatedtrustdomains",
    shortname = "ftd",
    category = "diolkos",
    status = "ConditionsStatus",
    derive = "PartialEq",
    doc = "Another trust domain whose workloads are believed to be who their SVIDs say, and where its bundle comes from.",
    printcolumn(name = "Trust Domain", type_ = "string", json_path = ".spec.trustDomain"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpoint.url"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.trustDomain) || has(self.endpoint) || has(self.bootstrap)").message("endpoint or bootstrap is needed beside trustDomain: the bundle must come from somewhere"),
    validation = Rule::new("!has(self.endpoint) || !has(self.endpoint.serverID) || !has(self.trustDomain) || has(self.bootstrap) || !self.endpoint.serverID.startsWith('spiffe://' + self.trustDomain + '/')").message("bootstrap is needed where serverID is of the same trust domain: the first fetch is verified by it"),
)]
pub struct FederatedTrustDomainSpec {
    /// Its name. It comes from here, never from a bundle. Default: none, and the object does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrustDomain")]
    pub trust_domain: Option<TrustDomain>,
    /// Where its bundle is published and polled. Default: nowhere, the bootstrap bundle is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<FederationEndpoint>,
    /// The bundle to begin with. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapBundle>,
}

/// A SPIFFE bundle endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.serverID) == (has(self.profile) && self.profile == 'https_spiffe')").message("serverID goes with profile: https_spiffe, and only with it"))]
pub struct FederationEndpoint {
    /// Its URL, `https` and without user information.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https://([A-Za-z0-9.-]+|\\\\[[0-9a-fA-F:.]+\\\\])(:[0-9]{1,5})?(/[^@?# ]*)?$')").message("write an https URL without user information, query and fragment, such as https://spiffe.example.org/bundle.json"))]
    pub url: String,
    /// How its server is authenticated. Default: `https_web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FederationProfile")]
    pub profile: Option<FederationProfile>,
    /// The SPIFFE ID that its server must show, for `https_spiffe`.
    #[serde(default, rename = "serverID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SpiffeId")]
    pub server_id: Option<SpiffeId>,
}

/// How the server of a bundle endpoint is authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FederationProfile {
    /// By the system's roots and its host name.
    #[default]
    #[serde(rename = "https_web")]
    HttpsWeb,
    /// By its SPIFFE ID and the bundle that is known so far.
    #[serde(rename = "https_spiffe")]
    HttpsSpiffe,
}

/// The bundle to begin with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapBundle {
    /// A ConfigMap: key `bundle.json` (a SPIFFE bundle document), or else key `ca.crt` (roots as PEM).
    #[schemars(length(min = 1, max = 253))]
    pub config_map: String,
    /// Its namespace. Default: `diolkos-system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

impl BootstrapBundle {
    /// Where the ConfigMap is if nobody says: where Diolkos itself is installed.
    pub const DEFAULT_NAMESPACE: &str = "diolkos-system";
}
