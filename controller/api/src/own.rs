//! Our own kinds, `diolkos.io/v1alpha1`: what neither Gateway API nor Istio can say.
//!
//! The Rust types are the source; [`crds`] gives their CRDs. In policies every field is optional and
//! has no default in the schema, because policies merge field by field from wide to narrow, and a
//! default would look like somebody's word. What holds if nobody says anything stands in the field's doc.

#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema copies each struct into a private block; two printcolumns have one type"
)]
mod backend_policy;
mod crd;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema copies each struct into a private block; two printcolumns have one type"
)]
mod federated_trust_domain;
mod gateway_parameters;
mod later;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema copies each struct into a private block; two printcolumns have one type"
)]
mod listener_policy;
#[expect(unreachable_pub, reason = "KubeSchema copies each struct into a private block")]
mod mesh_peer;
mod spiffe;
mod status;
mod target;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema copies each struct into a private block; two printcolumns have one type"
)]
mod traffic_policy;
mod value;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema copies each struct into a private block; two printcolumns have one type"
)]
mod workload_registration;

pub use self::backend_policy::*;
pub use self::crd::crds;
pub use self::federated_trust_domain::*;
pub use self::gateway_parameters::*;
pub use self::later::{LATER, LATER_KINDS, LaterField, LaterKind, later_field, later_kind};
pub use self::listener_policy::*;
pub use self::mesh_peer::*;
pub use self::spiffe::{ParseSpiffeIdError, ParseTrustDomainError, SpiffeId, TrustDomain};
pub use self::status::ConditionsStatus;
pub use self::target::{TargetRef, TargetSelector};
pub use self::traffic_policy::*;
pub use self::value::{AutoOr, Cidr, ParseCidrError, ParseQuantityError, Quantity};
pub use self::workload_registration::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::object::Object;

/// The API group of our own kinds.
pub const GROUP: &str = "diolkos.io";

/// The version of our own kinds.
pub const VERSION: &str = "v1alpha1";

/// `controllerName` of the GatewayClasses that we answer for.
pub const CONTROLLER_NAME: &str = "diolkos.io/gateway-controller";

macro_rules! own_kind {
    ($kind:ident, $plural:literal, $namespaced:literal) => {
        impl Object for $kind {
            const GROUP: &'static str = GROUP;
            const VERSION: &'static str = VERSION;
            const VERSIONS: &'static [&'static str] = &[VERSION];
            const KIND: &'static str = stringify!($kind);
            const PLURAL: &'static str = $plural;
            const NAMESPACED: bool = $namespaced;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

own_kind!(ListenerPolicy, "listenerpolicies", true);
own_kind!(TrafficPolicy, "trafficpolicies", true);
own_kind!(BackendPolicy, "backendpolicies", true);
own_kind!(GatewayParameters, "gatewayparameters", true);
own_kind!(WorkloadRegistration, "workloadregistrations", true);
own_kind!(FederatedTrustDomain, "federatedtrustdomains", false);

#[cfg(test)]
mod tests;
