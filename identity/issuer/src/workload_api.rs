//! The SPIFFE Workload API on a Unix socket: who calls is what the kernel says, and what it gets is what its
//! registrations say.

mod attest;
mod authority;
mod service;
mod socket;
mod view;

pub(crate) use service::WorkloadApi;
pub(crate) use socket::{Socket, SocketError};
