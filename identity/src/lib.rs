//! Identity: key pairs, trust, and the rustls configurations made of them. Knows no routes and no Kubernetes.
//!
//! | file | what |
//! |---|---|
//! | `pem` | reads PEM certificates, keys and roots; says what is wrong with them |
//! | `tls/server` | what a listener shows and asks for |
//! | `tls/client` | what we show to an endpoint and how it is verified |
//! | `proto` | generated gRPC: the Istio CA, the SPIFFE Workload API |
//! | `handshake` | whose fault a failed handshake is |

mod handshake;
mod pem;
pub mod proto;
mod tls;

pub use handshake::{Blame, HandshakeError};
pub use pem::{CertificateFacts, PemError, validate_key_pair, validate_roots};
pub use tls::ConfigError;
pub use tls::client::{ClientAlpn, ClientTlsConfig, client_config};
pub use tls::server::{PeerVerdict, ServerAlpn, ServerTlsConfig, server_config};
