//! Strict decoding of Kubernetes objects: YAML or JSON text in, objects with their positions or problems with their positions out.
//!
//! An object is checked as an API server would check it: unknown fields, types, ranges, patterns, list keys, defaults and CEL rules of the
//! kind's CRD, and for Kubernetes' own kinds what its Go code checks. One object's problem never touches another object.
//!
//! ```text
//! text ─ yaml ─> Node tree with positions ─ objects ─> one Node per object ─ kinds ─> its Schema
//!      ─ structure ─> JSON value with defaults, LineMap ─ rules (CEL), kubernetes (Go checks) ─> Decoded
//! ```

mod format;
mod kinds;
mod kubernetes;
mod lines;
mod metadata;
mod node;
mod object;
mod problem;
mod rules;
mod scalar;
mod schema;
mod structure;
mod suggest;
mod yaml;

pub use self::lines::LineMap;
pub use self::object::{Decoded, Document, Hints, decode};
pub use self::problem::{DecodeProblem, Reason, Severity};
