//! The intermediate representation (IR): the one value that both planes agree on.
//!
//! `translate` builds a [`Snapshot`] from the objects that users write; the proxy compiles it and serves it.
//! The types are plain values: no runtime, no Kubernetes, no TLS library, no clock, no I/O. Everything in a
//! snapshot is resolved: a name that appears in one map is a key of another ([`Snapshot::dangling`] proves it).
//!
//! | file | what |
//! |---|---|
//! | `snapshot` | [`Snapshot`]: the maps, and the check that no name dangles |
//! | `listener` | a socket, what arrives on it, TLS, limits, who is believed |
//! | `route`    | route tables: hosts, ordered matches, rules, what a rule does |
//! | `filter`   | what happens to a request or response on its way |
//! | `backend`  | resolved upstreams and how to talk to them |
//! | `mesh`     | the gateway's identities, mesh peers on both sides |
//! | `host`     | host patterns and their precedence |
//! | `name`     | the names that tie the maps together |
//! | `pattern`  | regular expressions of users, bounded |
//! | `secret`   | key material, redacted in every form of output |
//! | `span`     | durations as people write them |
//! | `proto`    | feature `proto`: the wire form, encode and decode beside each other |

mod backend;
mod filter;
mod host;
mod listener;
mod mesh;
mod name;
mod pattern;
#[cfg(feature = "proto")]
pub mod proto;
mod route;
mod secret;
mod snapshot;
pub mod span;

pub use backend::*;
pub use filter::*;
pub use host::{HostError, HostPattern};
pub use listener::*;
pub use mesh::*;
pub use name::*;
pub use pattern::{PatternError, full_match};
pub use route::*;
pub use secret::{KeyPair, Secret};
pub use snapshot::{Dangling, GatewaySettings, Snapshot};

/// For `skip_serializing_if`: leaves defaults out of dumps and golden files.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
