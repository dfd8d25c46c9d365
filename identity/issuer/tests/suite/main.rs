//! The issuer as its callers see it: over its sockets, with a clock that the test turns.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod administration;
mod api_server;
mod audit;
mod bad_callers;
mod bad_requests;
mod bootstrap;
mod bundles;
mod client;
mod good_callers;
mod ours;
mod rig;
mod rotation;
mod token;
mod token_review;
mod workloads;
