//! Istio's own kinds, as far as they are read: what its mesh says of the workloads that we dial.

mod peer_authentication;

pub use self::peer_authentication::{
    MutualTls, MutualTlsMode, PeerAuthentication, PeerAuthenticationSpec, WorkloadSelector,
};
