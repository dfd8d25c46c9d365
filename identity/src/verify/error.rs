//! Why a peer is refused.

use std::sync::Arc;

use rustls::{CertificateError, OtherError};

use super::Forgiven;
use crate::id::IdError;

/// Why a peer is refused. The text is for the operator; [`VerifyError::reason`] is for metrics.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// X28: none was shown.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// X26: more certificates than a path can use.
    #[error("the chain has {count} certificates, at most {max} are looked at")]
    ChainTooLong {
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// X26: too many bytes.
    #[error("the chain has {bytes} bytes, at most {max} are looked at")]
    ChainTooLarge {
        /// How many.
        bytes: usize,
        /// How many are allowed.
        max: usize,
    },
    /// X26: too many names.
    #[error("certificate {position} carries {count} names, at most {max} are looked at")]
    TooManyNames {
        /// Place in the chain, from 1.
        position: usize,
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// X26, X27: a key that is too small to trust or too large to pay for, or of an unknown kind.
    #[error(
        "the key of certificate {position} is {key}: RSA of 2048 to 4096 bits, P-256, P-384, P-521 and Ed25519 are taken"
    )]
    UnacceptableKey {
        /// Place in the chain, from 1.
        position: usize,
        /// What it is.
        key: String,
    },
    /// X24: not a certificate as RFC 5280 writes it.
    #[error("certificate {position} is malformed: {detail}")]
    Malformed {
        /// Place in the chain, from 1; 0 where it cannot be said.
        position: usize,
        /// The parser's words.
        detail: String,
    },
    /// X24: a critical extension that nobody here understands.
    #[error("a certificate has a critical extension that is not understood")]
    UnknownCriticalExtension,
    /// X04: no URI among its names.
    #[error("the leaf carries no SPIFFE ID: it has no URI among its names")]
    NoUri,
    /// X02, X03: more than one URI.
    #[error("the leaf carries {0} URIs, an X.509-SVID exactly one")]
    SeveralUris(usize),
    /// X05 to X08: its URI is no SPIFFE ID of a workload.
    #[error("the leaf's URI {uri:?} names no workload: {source}")]
    BadId {
        /// As written, cut to a readable length.
        uri: String,
        /// Which rule it breaks.
        source: IdError,
    },
    /// Profile `linkerd-dns`: not exactly one DNS name, or a URI.
    #[error("the leaf must carry exactly one DNS name and no URI, it has {dns} and {uris}")]
    NotOneDnsName {
        /// DNS names.
        dns: usize,
        /// URIs.
        uris: usize,
    },
    /// X11: a CA certificate as leaf.
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    /// X12: a leaf that may sign.
    #[error("the leaf may sign {0}")]
    LeafMaySign(&'static str),
    /// X13: no KeyUsage.
    #[error("the leaf has no KeyUsage")]
    NoKeyUsage,
    /// X13: KeyUsage without digitalSignature.
    #[error("the leaf's KeyUsage lacks digitalSignature")]
    NoDigitalSignature,
    /// X14: no BasicConstraints, where the profile demands it.
    #[error("the leaf has no BasicConstraints")]
    NoBasicConstraints,
    /// X16: an extended key usage without one of the two roles.
    #[error("the leaf's extended key usage lacks {0}")]
    WrongPurpose(&'static str),
    /// X18: its end lies before its beginning.
    #[error("the leaf's validity ends before it begins")]
    InvertedValidity,
    /// X18: not yet valid. Seconds since 1970.
    #[error("the leaf is not valid before {not_before}, now is {now} (seconds since 1970)")]
    NotYetValid {
        /// Its beginning.
        not_before: i64,
        /// The clock.
        now: i64,
    },
    /// X18: no longer valid. Seconds since 1970.
    #[error("the leaf ended at {not_after}, now is {now} (seconds since 1970)")]
    Expired {
        /// Its end.
        not_after: i64,
        /// The clock.
        now: i64,
    },
    /// X09, X10: nobody vouches for its trust domain.
    #[error("there is no bundle for the trust domain of {id}; there are bundles for {known}")]
    NoBundle {
        /// Whom.
        id: Arc<str>,
        /// The trust domains that have one.
        known: String,
    },
    /// X10: a bundle without a root: everything of it is revoked.
    #[error("the bundle of {trust_domain} is empty: everything in it is revoked")]
    EmptyBundle {
        /// Of which trust domain.
        trust_domain: Arc<str>,
    },
    /// X28: signed by itself, and no root.
    #[error("the leaf is self-signed")]
    SelfSigned,
    /// X09, X10, X31: no path to a root of its trust domain.
    #[error("the chain ends below {top}, but the bundle of {trust_domain} holds {roots}")]
    UnknownIssuer {
        /// Of which trust domain.
        trust_domain: Arc<str>,
        /// Issuer of the last certificate, with its key's identifier.
        top: String,
        /// The bundle's roots, with their keys' identifiers.
        roots: String,
    },
    /// X31: the issuer's name is known, its key is not that of the signature.
    #[error(
        "a signature does not verify: the chain ends below {top}, the bundle of {trust_domain} holds {roots}"
    )]
    BadSignature {
        /// Of which trust domain.
        trust_domain: Arc<str>,
        /// Issuer of the last certificate, with its key's identifier.
        top: String,
        /// The bundle's roots, with their keys' identifiers.
        roots: String,
    },
    /// X27: signed in a way that is not taken (SHA-1, MD5, unknown).
    #[error("a signature's algorithm is not taken")]
    UnsupportedAlgorithm,
    /// X18: an intermediate is no longer, or not yet, valid.
    #[error("an intermediate certificate is outside its validity")]
    IssuerOutsideValidity,
    /// X19: an intermediate that is no CA.
    #[error("an intermediate certificate is no CA certificate")]
    IssuerNotCa,
    /// X19: too many CAs below one that limits them.
    #[error("an issuer's path length constraint is exceeded")]
    PathLength,
    /// X20: an intermediate whose KeyUsage lacks keyCertSign.
    #[error("an intermediate certificate's KeyUsage lacks keyCertSign")]
    IssuerMayNotSign,
    /// X20: an intermediate's extended key usage is narrower than the role.
    #[error("an intermediate certificate's extended key usage excludes the peer's role")]
    IssuerPurpose,
    /// X21: an intermediate that is a workload's SVID.
    #[error("an intermediate certificate carries the workload's ID {0:?}")]
    IssuerIsWorkload(String),
    /// X22: an intermediate of another trust domain.
    #[error("an intermediate certificate is of the trust domain of {0:?}")]
    IssuerOfOtherTrustDomain(String),
    /// X23: names are constrained by a CA.
    #[error("an issuer's name constraints exclude the leaf (URI constraints always do)")]
    NameConstraint,
    /// X26: too much work to find a path.
    #[error("the chain is too complex")]
    TooComplex,
    /// The CRL lists it or one of its issuers.
    #[error("the certificate with serial {serial} is revoked by {issuer}")]
    Revoked {
        /// Serial, in hex.
        serial: String,
        /// Whose list.
        issuer: String,
    },
    /// Verified, but not among those that are wanted here.
    #[error("{id} is not among the peers that are allowed here")]
    NotAllowed {
        /// Who it is.
        id: Arc<str>,
    },
    /// Forgiven at a peer, not at one's own.
    #[error("the certificate must not be issued: {0}")]
    Lint(Forgiven),
    /// Our own: there is no identity to judge by.
    #[error("the identity {identity} is not ready: {reason}")]
    NotReady {
        /// Which.
        identity: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// webpki has a word that this list has not.
    #[error("the chain does not verify: {0}")]
    Other(String),
}

impl VerifyError {
    /// One of few words, for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::ChainTooLong { .. } => "chain_too_long",
            Self::ChainTooLarge { .. } => "chain_too_large",
            Self::TooManyNames { .. } => "too_many_names",
            Self::UnacceptableKey { .. } => "unacceptable_key",
            Self::Malformed { .. } => "malformed",
            Self::UnknownCriticalExtension => "unknown_critical_extension",
            Self::NoUri => "no_uri",
            Self::SeveralUris(_) => "several_uris",
            Self::BadId { .. } => "bad_id",
            Self::NotOneDnsName { .. } => "not_one_dns_name",
            Self::LeafIsCa => "leaf_is_ca",
            Self::LeafMaySign(_) => "leaf_may_sign",
            Self::NoKeyUsage => "no_key_usage",
            Self::NoDigitalSignature => "no_digital_signature",
            Self::NoBasicConstraints => "no_basic_constraints",
            Self::WrongPurpose(_) => "wrong_purpose",
            Self::InvertedValidity => "inverted_validity",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::NoBundle { .. } => "no_bundle",
            Self::EmptyBundle { .. } => "empty_bundle",
            Self::SelfSigned => "self_signed",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::BadSignature { .. } => "bad_signature",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::IssuerOutsideValidity => "issuer_outside_validity",
            Self::IssuerNotCa => "issuer_not_ca",
            Self::PathLength => "path_length",
            Self::IssuerMayNotSign => "issuer_may_not_sign",
            Self::IssuerPurpose => "issuer_purpose",
            Self::IssuerIsWorkload(_) => "issuer_is_workload",
            Self::IssuerOfOtherTrustDomain(_) => "issuer_of_other_trust_domain",
            Self::NameConstraint => "name_constraint",
            Self::TooComplex => "too_complex",
            Self::Revoked { .. } => "revoked",
            Self::NotAllowed { .. } => "not_allowed",
            Self::Lint(_) => "lint",
            Self::NotReady { .. } => "not_ready",
            Self::Other(_) => "other",
        }
    }

    /// For rustls, which keeps it: `HandshakeError` takes it out again.
    pub(crate) fn into_rustls(self) -> rustls::Error {
        let ours = matches!(self, Self::NotReady { .. });
        let other = OtherError(Arc::new(self));
        if ours {
            rustls::Error::Other(other)
        } else {
            rustls::Error::InvalidCertificate(CertificateError::Other(other))
        }
    }

    /// Takes it out of what rustls reports.
    pub(crate) fn from_rustls(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
            | rustls::Error::Other(OtherError(inner)) => inner.downcast_ref(),
            _ => None,
        }
    }
}
