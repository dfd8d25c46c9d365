//! The mesh as the data plane sees it: identities at work, and the connections that hang on them.
//!
//! An identity is live state: it runs on the control runtime and outlives configurations for as long as its entry
//! stays equal. Connections made by it are tied to it ([`Tie`]), so that trust that ends also ends them.
//!
//! | file | what |
//! |---|---|
//! | `sources` | starts and stops identities as snapshots come and go |
//! | `identity` | one of them, as the compiled configuration holds it |
//! | `target` | the way to a meshed endpoint: client configurations, prebuilt and shared |
//! | `link` | a connection's standing, and the tie that it holds |
//! | `ledger` | all connections of an identity, and when each is to end |
//! | `judge` | looks at live connections again, off the hot path |
//! | `counters`, `metrics` | what is counted, and its text form |

mod counters;
mod identity;
mod judge;
mod ledger;
mod link;
mod metrics;
mod sources;
mod target;

pub use counters::{Ended, MeshCounters, Side};
pub use identity::{Before, LiveIdentity, MeshIdentities};
pub use link::{Fate, Link, Tie};
pub use sources::Sources;
pub use target::{MeshTarget, TargetId};
