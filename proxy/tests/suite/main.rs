//! The whole proxy in process: a snapshot of model values in, bytes out.
#![expect(unreachable_pub, reason = "a test crate has no users; pub is for its own modules")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod auth;
mod bodies;
mod connection;
mod door;
mod filters;
mod forward;
mod grpc;
mod log;
mod mesh;
mod observe;
mod opaque;
mod resilience;
mod session;
mod support;
mod tls;
mod upgrade;
