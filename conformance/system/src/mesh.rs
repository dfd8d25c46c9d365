//! Foreign mesh members: control planes, proxies and workloads, as plain processes on a [`crate::Place`].
//!
//! | file | what |
//! |---|---|
//! | `program`    | starts one of `target/peers`, keeps its log, waits until it is ready |
//! | `http`       | a small server whose answers a function makes |
//! | `api_server` | a Kubernetes API server without objects: what istiod starts against |
//! | `istiod`     | Istio's control plane: its certificate authority |
//! | `issuer`     | `diolkos issuer` |
//! | `load`       | requests at a steady rate over mesh mTLS |
//! | `objects`    | objects of a gateway in a mesh |
//! | `tokens`     | service-account tokens and the keys that verify them |
//! | `authority`  | a root, an intermediate and SVIDs, as files |
//! | `envoy`      | stock Envoy as a STRICT upstream and as a client with a certificate |
//! | `rotation`   | everybody's certificate and the root change under load |
//! | `spire`      | SPIRE server and agent |
//! | `workload`   | go-spiffe, py-spiffe, Istio's CA client and agent |
//! | `stand_in`   | a relay in front of a server: refuses, hangs, is slow, lies |
//! | `canary`     | looks for private keys where none may be |

mod api_server;
pub mod authority;
pub mod canary;
pub mod envoy;
pub mod http;
pub mod issuer;
pub mod istiod;
pub mod load;
pub mod objects;
pub mod program;
pub mod rotation;
pub mod spire;
pub mod stand_in;
pub mod tokens;
pub mod workload;

pub use authority::Authority;
pub use issuer::Issuer;
pub use istiod::Istiod;
pub use program::Program;
pub use spire::Spire;
pub use stand_in::StandIn;
pub use tokens::Tokens;
