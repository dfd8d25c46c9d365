//! Whose fault a failed TLS handshake is.

use std::fmt;
use std::io;

use crate::verify::VerifyError;

/// A failed handshake.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{blame}: {detail}")]
pub struct HandshakeError {
    /// Whose fault.
    pub blame: Blame,
    /// What went wrong: a [`VerifyError`]'s text, or the library's words.
    pub detail: String,
    /// One of few words, for a metric's label: [`VerifyError::reason`], or of the blame.
    pub reason: &'static str,
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
            None => Self { blame: Blame::Transport, detail: error.to_string(), reason: "transport" },
        }
    }
}

impl From<&rustls::Error> for HandshakeError {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        if let Some(error) = VerifyError::from_rustls(error) {
            return Self::from(error);
        }
        let blame = match error {
            E::InvalidCertificate(_) | E::InvalidCertRevocationList(_) | E::UnsupportedNameType => {
                Blame::PeerUntrusted
            }
            E::NoCertificatesPresented => return Self::from(&VerifyError::NoCertificate),
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
        let detail = match error {
            // What rustls says where the identity whose SVID should be shown has none.
            E::General(text) if text == "no server certificate chain resolved" => {
                "there is no certificate to show: the listener's identity is not ready".to_owned()
            }
            error => error.to_string(),
        };
        Self { blame, detail, reason: blame.reason() }
    }
}

impl From<&VerifyError> for HandshakeError {
    fn from(error: &VerifyError) -> Self {
        let blame = match error {
            VerifyError::NotReady { .. } => Blame::LocalNotReady,
            _ => Blame::PeerUntrusted,
        };
        Self { blame, detail: error.to_string(), reason: error.reason() }
    }
}

impl Blame {
    /// One word, for a metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::PeerUntrusted => "untrusted",
            Self::PeerRefused => "refused",
            Self::PeerMisbehaved => "misbehaved",
            Self::LocalNotReady => "not_ready",
            Self::Transport => "transport",
        }
    }
}
