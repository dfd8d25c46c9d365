//! The data plane: bytes in, bytes out. Knows no Kubernetes; a [`model::Snapshot`] tells it everything.

pub mod admin;
pub mod app;
pub mod compiled;
pub mod drain;
pub mod explain;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod listener;
pub mod mesh;
pub mod overload;
pub mod settings;
pub mod tcp;
pub mod telemetry;
pub mod udp;
pub mod upstream;
mod worker;
