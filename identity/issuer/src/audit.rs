//! One line for each thing that was issued, and for each that was refused, in target `audit`.

use std::time::SystemTime;

use identity::SpiffeId;
use tracing::{info, warn};

use crate::ca::line::unix;
use crate::refusal::Refusal;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Method {
    /// Nothing was shown.
    None,
    /// The Kubernetes API server reviewed its token.
    TokenReview,
    /// Its token is signed by a published key.
    Jwks,
    /// It holds a current SVID of ours.
    Svid,
    /// A token that was given to a person once.
    Bootstrap,
    /// The kernel says which process it is.
    Unix,
    /// It is a part of this process.
    InProcess,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TokenReview => "token-review",
            Self::Jwks => "jwks",
            Self::Svid => "svid",
            Self::Bootstrap => "bootstrap-token",
            Self::Unix => "unix",
            Self::InProcess => "in-process",
        }
    }
}

/// Who calls, for the audit line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Who {
    /// How it proved it.
    pub(crate) method: Method,
    /// In words: service account and pod, process, certificate.
    pub(crate) caller: String,
    /// From where.
    pub(crate) peer: String,
}

/// Something was issued.
pub(crate) fn issued(
    who: &Who,
    kind: &'static str,
    id: &SpiffeId,
    serial: &str,
    not_after: SystemTime,
    chain: &str,
) {
    info!(
        target: "audit",
        kind,
        method = who.method.as_str(),
        caller = %who.caller,
        peer = %who.peer,
        %id,
        serial,
        not_after = unix(not_after),
        chain,
        "Issued"
    );
}

/// Something was refused.
pub(crate) fn refused(who: &Who, kind: &'static str, id: Option<&SpiffeId>, refusal: &Refusal) {
    warn!(
        target: "audit",
        kind,
        method = who.method.as_str(),
        caller = %who.caller,
        peer = %who.peer,
        id = %id.map(ToString::to_string).unwrap_or_default(),
        reason = refusal.reason(),
        detail = %refusal,
        "Refused"
    );
}
