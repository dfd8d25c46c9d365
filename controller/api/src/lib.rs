//! The objects that users write: their Rust types, their kinds and keys.
//!
//! - [`gateway_api`]: Gateway API v1.7.0, experimental channel, generated from its CRDs.
//! - [`core`]: what Kubernetes itself has (Service, EndpointSlice, Secret, …).
//! - [`decode`]: from YAML or JSON text to those, checked as an API server would, with lines.
//! - [`object`]: what all of them share, and one type that holds any of them.
//! - [`istio`]: what is read of Istio's own kinds.
//! - [`own`]: our own kinds, `diolkos.io/v1alpha1`.
//! - [`duration`]: the duration strings of Gateway API.

pub mod core;
pub mod decode;
pub mod duration;
pub mod gateway_api;
pub mod istio;
pub mod object;
pub mod own;

pub use self::object::{AnyObject, KindInfo, Object, ObjectKey};
