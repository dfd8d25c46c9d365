//! Gateway API v1.7.0, experimental channel: one flat list of types.
//!
//! Equal shapes of the CRDs are one type, whichever kind or place they occur in. A field that has a
//! default in the CRD has it here, too, and is never an `Option`; a list or map that is left out is empty.

mod generated {
    pub(super) mod backend_tls_policy;
    pub(super) mod common;
    pub(super) mod gateway;
    pub(super) mod gateway_class;
    pub(super) mod grpc_route;
    pub(super) mod http_route;
    pub(super) mod listener_set;
    pub(super) mod reference_grant;
    pub(super) mod tcp_route;
    pub(super) mod tls_route;
    pub(super) mod udp_route;
    pub(super) mod x_backend;
    pub(super) mod x_backend_traffic_policy;
}

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta, Time};

pub use self::generated::backend_tls_policy::*;
pub use self::generated::common::*;
pub use self::generated::gateway::*;
pub use self::generated::gateway_class::*;
pub use self::generated::grpc_route::*;
pub use self::generated::http_route::*;
pub use self::generated::listener_set::*;
pub use self::generated::reference_grant::*;
pub use self::generated::tcp_route::*;
pub use self::generated::tls_route::*;
pub use self::generated::udp_route::*;
pub use self::generated::x_backend::*;
pub use self::generated::x_backend_traffic_policy::*;

/// The API group of everything in the standard channel.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// The API group of what is experimental as a whole (XBackend, XBackendTrafficPolicy).
pub const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

impl From<&HttpBackendRef> for BackendObjectReference {
    fn from(from: &HttpBackendRef) -> Self {
        let HttpBackendRef { group, kind, name, namespace, port, filters: _, weight: _ } = from.clone();
        Self { group, kind, name, namespace, port }
    }
}

impl From<&GrpcBackendRef> for BackendObjectReference {
    fn from(from: &GrpcBackendRef) -> Self {
        let GrpcBackendRef { group, kind, name, namespace, port, filters: _, weight: _ } = from.clone();
        Self { group, kind, name, namespace, port }
    }
}

impl From<&BackendRef> for BackendObjectReference {
    fn from(from: &BackendRef) -> Self {
        let BackendRef { group, kind, name, namespace, port, weight: _ } = from.clone();
        Self { group, kind, name, namespace, port }
    }
}
