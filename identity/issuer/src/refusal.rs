//! Why nothing was issued: for the log in full, for the caller no more than helps it.

use tonic::Status;

use crate::csr::CsrError;

/// Why nothing was issued.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Who calls is not proven. The caller is not told why.
    #[error("{detail}")]
    Unauthenticated {
        /// A word for metrics and the audit line.
        reason: &'static str,
        /// For the audit line.
        detail: String,
    },
    /// Who calls may not have this.
    #[error("{detail}")]
    Denied { reason: &'static str, detail: String },
    /// The request for a certificate is broken, or asks for another's names.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The request breaks a rule of its protocol.
    #[error("{detail}")]
    Invalid { reason: &'static str, detail: String },
    /// More life than is granted.
    #[error("{asked} seconds are asked for, at most {max} are granted")]
    TtlTooLong { asked: u64, max: u64 },
    /// The caller asks too often.
    #[error("the caller asks too often")]
    RateLimited,
    /// Everybody asks too often.
    #[error("too many requests wait")]
    Overloaded,
    /// Nothing can sign.
    #[error("{0}")]
    NotReady(String),
    /// Whoever verifies callers cannot be reached.
    #[error("callers cannot be verified: {0}")]
    VerifierAway(String),
    /// We broke a promise of ours.
    #[error("{0}")]
    Internal(String),
}

impl Refusal {
    pub(crate) fn unauthenticated(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Unauthenticated { reason, detail: detail.into() }
    }

    pub(crate) fn denied(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Denied { reason, detail: detail.into() }
    }

    pub(crate) fn invalid(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { reason, detail: detail.into() }
    }

    /// One word, from a fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated { reason, .. }
            | Self::Denied { reason, .. }
            | Self::Invalid { reason, .. } => reason,
            Self::Csr(error) => match error {
                CsrError::TooLarge(_) => "csr-too-large",
                CsrError::NotPem => "csr-not-pem",
                CsrError::Malformed(_) => "csr-malformed",
                CsrError::WeakSignature => "csr-weak-signature",
                CsrError::BadSignature => "csr-bad-signature",
                CsrError::WeakKey(_) => "csr-weak-key",
                CsrError::WantsCa => "csr-wants-ca",
                CsrError::ForeignUri(_) => "csr-foreign-uri",
                CsrError::ForeignDns(_) => "csr-foreign-dns",
                CsrError::ForeignName(_) => "csr-foreign-name",
            },
            Self::TtlTooLong { .. } => "ttl-too-long",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::NotReady(_) => "not-ready",
            Self::VerifierAway(_) => "verifier-away",
            Self::Internal(_) => "internal",
        }
    }

    /// What the caller gets.
    pub(crate) fn status(&self) -> Status {
        match self {
            // As opaque as Istio's: whoever guesses learns nothing. The reason is in the audit log.
            Self::Unauthenticated { .. } => Status::unauthenticated("request authenticate failure"),
            Self::Denied { detail, .. } => Status::permission_denied(detail),
            Self::Csr(error) if error.is_foreign() => Status::permission_denied(error.to_string()),
            Self::Csr(error) => Status::invalid_argument(error.to_string()),
            Self::Invalid { detail, .. } => Status::invalid_argument(detail),
            Self::TtlTooLong { .. } => Status::invalid_argument(self.to_string()),
            Self::RateLimited | Self::Overloaded => Status::resource_exhausted(self.to_string()),
            Self::NotReady(_) => Status::unavailable("the CA is not ready"),
            Self::VerifierAway(_) => Status::unavailable("callers cannot be verified now"),
            Self::Internal(_) => Status::internal("the certificate was not issued"),
        }
    }
}
