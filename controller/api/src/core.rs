//! Kubernetes' own kinds, as k8s-openapi has them.

pub use k8s_openapi::api::certificates::v1beta1::{ClusterTrustBundle, ClusterTrustBundleSpec};
pub use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Pod, PodCondition, PodSpec, PodStatus, Secret, Service, ServiceAccount,
    ServicePort, ServiceSpec, ServiceStatus,
};
pub use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice,
};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};

use crate::object::Object;

macro_rules! kubernetes_kind {
    ($kind:ident, $namespaced:literal, $versions:expr) => {
        impl Object for $kind {
            const GROUP: &'static str = <Self as Resource>::GROUP;
            const VERSION: &'static str = <Self as Resource>::VERSION;
            const VERSIONS: &'static [&'static str] = $versions;
            const KIND: &'static str = <Self as Resource>::KIND;
            const PLURAL: &'static str = <Self as Resource>::URL_PATH_SEGMENT;
            const NAMESPACED: bool = $namespaced;

            fn metadata(&self) -> &ObjectMeta {
                Metadata::metadata(self)
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                Metadata::metadata_mut(self)
            }
        }
    };
}

kubernetes_kind!(Service, true, &["v1"]);
kubernetes_kind!(EndpointSlice, true, &["v1"]);
kubernetes_kind!(Secret, true, &["v1"]);
kubernetes_kind!(ConfigMap, true, &["v1"]);
kubernetes_kind!(Namespace, false, &["v1"]);
kubernetes_kind!(Pod, true, &["v1"]);
kubernetes_kind!(ServiceAccount, true, &["v1"]);
kubernetes_kind!(ClusterTrustBundle, false, &["v1beta1", "v1alpha1"]);
