//! Whose fault a failed TLS handshake is.

use std::fmt;
use std::io;

/// A failed handshake.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{blame}: {detail}")]
pub struct HandshakeError {
    /// Whose fault.
    pub blame: Blame,
    /// The library's words.
    pub detail: String,
}

/// Whose fault a failed handshake is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The peer's certificate is missing, expired, of another CA or of another name.
    PeerUntrusted,
    /// The peer sent an alert: it does not like us.
    PeerRefused,
    /// The peer does not speak TLS, or not as it should.
    PeerMisbehaved,
    /// Our own material or settings.
    LocalNotReady,
    /// The connection broke.
    Transport,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerUntrusted => "peer is not trusted",
            Self::PeerRefused => "peer refused the handshake",
            Self::PeerMisbehaved => "peer broke the protocol",
            Self::LocalNotReady => "local TLS is not ready",
            Self::Transport => "connection broke",
        })
    }
}

impl From<&io::Error> for HandshakeError {
    fn from(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Self::from(inner),
            None => Self { blame: Blame::Transport, detail: error.to_string() },
        }
    }
}

impl From<&rustls::Error> for HandshakeError {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        let blame = match error {
            E::InvalidCertificate(_)
            | E::InvalidCertRevocationList(_)
            | E::NoCertificatesPresented
            | E::UnsupportedNameType => Blame::PeerUntrusted,
            E::AlertReceived(_) => Blame::PeerRefused,
            E::General(_)
            | E::FailedToGetCurrentTime
            | E::FailedToGetRandomBytes
            | E::EncryptError
            | E::HandshakeNotComplete
            | E::BadMaxFragmentSize
            | E::InconsistentKeys(_) => Blame::LocalNotReady,
            _ => Blame::PeerMisbehaved,
        };
        Self { blame, detail: error.to_string() }
    }
}
