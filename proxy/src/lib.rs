//! The data plane: bytes in, bytes out. Knows no Kubernetes.

pub mod compiled;
pub mod http;
pub mod upstream;
