//! The data plane: bytes in, bytes out. Knows no Kubernetes.

pub mod upstream;
