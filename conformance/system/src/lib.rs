//! The real binary with real peers: what the whole-system tests and programs stand on.
//!
//! | file | what |
//! |---|---|
//! | `gateway` | starts `diolkos serve` on an address of its own, waits until it serves |
//! | `mesh`    | foreign mesh members: istiod, Envoy, SPIRE, workloads |
//! | `peer`    | nginx, HAProxy and other programs, started and stopped with the test |
//! | `place`   | loopback addresses and folders that no other test has |
//! | `wait`    | until another process has done something |
//! | `wire`    | raw bytes to a port and what comes back |

pub mod gateway;
pub mod mesh;
pub mod peer;
pub mod place;
pub mod wait;
pub mod wire;

pub use gateway::Gateway;
pub use peer::{Peer, outcome, run};
pub use place::Place;
pub use wait::{retry, until};
