//! The leaf's own rules (X.509-SVID §2, §4), by profile.

use std::fmt;
use std::time::{Duration, SystemTime};

use model::PeerProfile;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::time::ASN1Time;

use super::{VerifyError, bounds};
use crate::id::WorkloadId;

/// What a leaf says, its own rules checked; nothing of trust or of the clock.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) id: WorkloadId,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) forgiven: Vec<Forgiven>,
}

/// What a peer is forgiven, and counted for: others issue such certificates, and no trust hangs on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Forgiven {
    /// X15: KeyUsage is not marked critical.
    KeyUsageNotCritical,
    /// X25: the subject is empty and the names are not marked critical.
    NamesNotCritical,
    /// X14: BasicConstraints is missing, in the profiles `istio` and `linkerd-dns`. Every other verifier of an Istio
    /// mesh (Go, Envoy, ztunnel) takes such a leaf, as external signers issue them; Linkerd's never have it. A leaf
    /// without is still no CA to webpki, and KeyUsage, which stays mandatory, forbids it to sign.
    NoBasicConstraints,
}

impl Forgiven {
    /// All of them, for a metric that shows zeros too.
    pub const ALL: [Self; 3] = [Self::KeyUsageNotCritical, Self::NamesNotCritical, Self::NoBasicConstraints];

    /// One word, for a metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::KeyUsageNotCritical => "key_usage_not_critical",
            Self::NamesNotCritical => "names_not_critical",
            Self::NoBasicConstraints => "no_basic_constraints",
        }
    }
}

impl fmt::Display for Forgiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyUsageNotCritical => "its KeyUsage is not critical",
            Self::NamesNotCritical => "its subject is empty and its names are not critical",
            Self::NoBasicConstraints => "it has no BasicConstraints",
        })
    }
}

impl Leaf {
    /// Reads a leaf and checks the rules that it can break alone.
    pub(crate) fn read(certificate: &CertificateDer<'_>, profile: PeerProfile) -> Result<Self, VerifyError> {
        Self::of(&bounds::parse(certificate, 1)?, profile)
    }

    /// The same of a parsed one.
    pub(crate) fn of(parsed: &X509Certificate<'_>, profile: PeerProfile) -> Result<Self, VerifyError> {
        let mut forgiven = Vec::new();
        basic_constraints(parsed, profile, &mut forgiven)?;
        let id = identity(parsed, profile, &mut forgiven)?;
        key_usage(parsed, &mut forgiven)?;
        extended_key_usage(parsed)?;
        let validity = parsed.validity();
        if validity.not_before > validity.not_after {
            return Err(VerifyError::InvertedValidity);
        }
        Ok(Self {
            id,
            not_before: system_time(validity.not_before),
            not_after: system_time(validity.not_after),
            forgiven,
        })
    }

    /// X18. The end itself is outside: a certificate that ends now is no longer valid.
    pub(crate) fn check_clock(&self, now: SystemTime) -> Result<(), VerifyError> {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
        };
        if now < self.not_before {
            return Err(VerifyError::NotYetValid { not_before: seconds(self.not_before), now: seconds(now) });
        }
        if now >= self.not_after {
            return Err(VerifyError::Expired { not_after: seconds(self.not_after), now: seconds(now) });
        }
        Ok(())
    }
}

fn identity(
    parsed: &X509Certificate<'_>,
    profile: PeerProfile,
    forgiven: &mut Vec<Forgiven>,
) -> Result<WorkloadId, VerifyError> {
    let names = parsed.subject_alternative_name().map_err(malformed)?;
    let critical = names.as_ref().is_none_or(|names| names.critical);
    if !critical && parsed.subject().iter().next().is_none() {
        forgiven.push(Forgiven::NamesNotCritical);
    }
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::Invalid(..) => {
                return Err(malformed(format!("a name of {OID_X509_EXT_SUBJECT_ALT_NAME} cannot be read")));
            }
            _ => {}
        }
    }
    let bad = |text: &str, source| VerifyError::BadId { uri: readable(text), source };
    match (profile, &*uris, &*dns) {
        (PeerProfile::LinkerdDns, [], [name]) => {
            WorkloadId::parse_dns(name).map_err(|source| bad(name, source))
        }
        (PeerProfile::LinkerdDns, uris, dns) => {
            Err(VerifyError::NotOneDnsName { dns: dns.len(), uris: uris.len() })
        }
        (_, [], _) => Err(VerifyError::NoUri),
        (_, [uri], _) => WorkloadId::parse_spiffe(uri).map_err(|source| bad(uri, source)),
        (_, uris, _) => Err(VerifyError::SeveralUris(uris.len())),
    }
}

fn basic_constraints(
    parsed: &X509Certificate<'_>,
    profile: PeerProfile,
    forgiven: &mut Vec<Forgiven>,
) -> Result<(), VerifyError> {
    match (parsed.basic_constraints().map_err(malformed)?, profile) {
        (Some(constraints), _) if constraints.value.ca => Err(VerifyError::LeafIsCa),
        (Some(_), _) => Ok(()),
        (None, PeerProfile::SpiffeStrict) => Err(VerifyError::NoBasicConstraints),
        (None, PeerProfile::Istio | PeerProfile::LinkerdDns) => {
            forgiven.push(Forgiven::NoBasicConstraints);
            Ok(())
        }
    }
}

fn key_usage(parsed: &X509Certificate<'_>, forgiven: &mut Vec<Forgiven>) -> Result<(), VerifyError> {
    let usage = parsed.key_usage().map_err(malformed)?.ok_or(VerifyError::NoKeyUsage)?;
    if usage.value.key_cert_sign() {
        return Err(VerifyError::LeafMaySign("certificates"));
    }
    if usage.value.crl_sign() {
        return Err(VerifyError::LeafMaySign("revocation lists"));
    }
    if !usage.value.digital_signature() {
        return Err(VerifyError::NoDigitalSignature);
    }
    if !usage.critical {
        forgiven.push(Forgiven::KeyUsageNotCritical);
    }
    Ok(())
}

/// X16, X17: absent is fine; present, it has both roles, as every workload is client and server.
fn extended_key_usage(parsed: &X509Certificate<'_>) -> Result<(), VerifyError> {
    match parsed.extended_key_usage().map_err(malformed)? {
        Some(usage) if !usage.value.server_auth => Err(VerifyError::WrongPurpose("serverAuth")),
        Some(usage) if !usage.value.client_auth => Err(VerifyError::WrongPurpose("clientAuth")),
        _ => Ok(()),
    }
}

fn malformed(error: impl ToString) -> VerifyError {
    VerifyError::Malformed { position: 1, detail: error.to_string() }
}

/// A certificate's time. Before 1970 is 1970: both are long ago.
pub(crate) fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

/// A name for the log: a hostile one may be long, the log need not be.
pub(super) fn readable(text: &str) -> String {
    text.chars().take(READABLE).collect()
}

/// Characters of a hostile name that are logged.
const READABLE: usize = 200;
