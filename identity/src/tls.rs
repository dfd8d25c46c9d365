//! rustls configurations for both sides, and why one could not be made.

pub(crate) mod client;
pub(crate) mod mesh;
pub(crate) mod mesh_client;
pub(crate) mod mesh_server;
pub(crate) mod server;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

use crate::PemError;
use server::ServerTlsConfig;

/// Why a TLS configuration could not be made. The listener or backend that asked for it stays closed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A listener without a key pair.
    #[error("the listener has no certificate")]
    NoCertificate,
    /// A certificate, key or root that cannot be used.
    #[error("{what} cannot be used: {source}")]
    Pem {
        /// Which: `certificate 1`, `client CA`, `client certificate`.
        what: String,
        /// Why.
        source: PemError,
    },
    /// The client CA is asked for but not there: no handshake may succeed.
    #[error("client certificates cannot be verified: {reason}")]
    ClientAuthClosed {
        /// Why, for the log.
        reason: Arc<str>,
    },
    /// The name to verify is neither a DNS name nor an address.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    ServerName {
        /// What was given.
        name: Arc<str>,
    },
    /// The system has no usable root certificates.
    #[error("the system has no usable root certificates: {detail}")]
    NoSystemRoots {
        /// What the loader met.
        detail: String,
    },
    /// rustls refused the parts.
    #[error("the TLS library refuses the settings: {0}")]
    Rustls(String),
}

impl From<rustls::Error> for ConfigError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error.to_string())
    }
}

/// The one cryptography provider: aws-lc-rs, never the process default, which a library could set.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}

#[cfg(test)]
mod tests;
