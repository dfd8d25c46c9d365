//! From the objects that users write to what the proxies serve and what status says: pure and total.
//!
//! [`translate`] never fails and does no I/O. A bad object yields a [`Problem`] for its owner and changes
//! nothing else.
//!
//! | module | what |
//! |---|---|
//! | `inputs`, `output` | the two ends of the function |
//! | `index`        | typed look-ups over the inputs, built once |
//! | `grants`       | ReferenceGrant: the only maker of [`grants::Granted`] |
//! | `certificates` | key pairs and trust anchors out of Secrets, ConfigMaps, ClusterTrustBundles |
//! | `problem`, `status` | what is wrong, and how objects say it |
//! | `context`      | what is gathered while routes are compiled |
//! | `gateway_api`  | classes, Gateways, ListenerSets, attachment of routes, assembly of the snapshot |
//! | `routes`, `backends` | what a route and what a backend reference become |
//! | `policy`, `parameters` | our own kinds |
//! | `mesh`         | who Gateways are, whom they believe, what the built-in issuer is told |

pub mod backends;
pub mod certificates;
pub mod context;
pub mod gateway_api;
pub mod grants;
pub mod index;
pub mod inputs;
mod mesh;
pub mod output;
mod parameters;
pub mod policy;
pub mod problem;
pub mod routes;
pub mod status;

pub use inputs::{Addressing, Inputs, MeshFacts};
pub use output::{IssuerConfig, Output, ShardName, Status};
pub use problem::{Problem, Severity};

/// Everything that the objects ask for, and everything that is wrong with them.
pub fn translate(inputs: &Inputs) -> Output {
    gateway_api::translate(inputs)
}
