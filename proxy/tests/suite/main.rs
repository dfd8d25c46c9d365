//! The whole proxy in process: a snapshot of model values in, bytes out.
#![expect(unreachable_pub, reason = "a test crate has no users; pub is for its own modules")]

mod auth;
mod bodies;
mod connection;
mod door;
mod filters;
mod forward;
mod grpc;
mod log;
mod observe;
mod opaque;
mod resilience;
mod session;
mod support;
mod tls;
mod upgrade;
