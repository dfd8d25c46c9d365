//! HTTP: from the bytes of a request to the bytes of its answer.

pub mod canonical;
pub mod route;
