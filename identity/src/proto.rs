//! The gRPC services that are spoken: the Istio CA's and the SPIFFE Workload API, clients and servers, as generated
//! from `identity/proto`.

use std::fmt;

/// `istio.v1.auth`: a certificate for the authenticated caller.
#[path = "proto/generated/istio.v1.auth.rs"]
pub mod istio;

/// The SPIFFE Workload API.
#[path = "proto/generated/spiffe_workload.rs"]
pub mod workload;

/// Written by hand, so that no dump of a message shows a key.
impl fmt::Debug for workload::X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for workload::X509svidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svidResponse").field("svids", &self.svids).finish_non_exhaustive()
    }
}

/// A JWT-SVID is a bearer token: whoever reads it can use it.
impl fmt::Debug for workload::Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for workload::JwtsvidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtsvidResponse").field("svids", &self.svids).finish_non_exhaustive()
    }
}

impl fmt::Debug for workload::ValidateJwtsvidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateJwtsvidRequest").field("audience", &self.audience).finish_non_exhaustive()
    }
}
