//! Self-signed roots.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::TrustDomain;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, SanType};
use rustls_pki_types::CertificateDer;

use super::key::{Handle, KeyError, MemoryKey};
use super::line::{Phase, Slot, seconds, unix};
use super::signer::{self, fingerprint};

/// A root of our own.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Arc<MemoryKey>,
    pub(crate) fingerprint: Arc<str>,
}

impl Root {
    pub(crate) fn new(certificate: CertificateDer<'static>, key: MemoryKey) -> Self {
        let fingerprint = fingerprint(&certificate).into();
        Self { certificate, key: Arc::new(key), fingerprint }
    }
}

/// Makes a root that lives for `ttl` from about now.
///
/// # Errors
/// The system has no randomness, say.
pub(crate) fn make(
    trust_domain: &TrustDomain,
    now: SystemTime,
    ttl: Duration,
) -> Result<Slot<Root>, KeyError> {
    let key = MemoryKey::generate()?;
    let serial = signer::serial()?;
    // Whole seconds, as X.509 has them.
    let not_before = seconds(unix(now)) - signer::BACKDATED;
    let not_after = seconds(unix(now)) + ttl;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, trust_domain.as_str());
    // Each root has a name of its own, so that path building never has to try several.
    name.push(DnType::CommonName, format!("SPIFFE root {}", signer::hex(serial.split_at(4).0)));
    params.distinguished_name = name;
    params.serial_number = Some(serial.to_vec().into());
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // X509-SVID §4.1: a signing certificate should be an SVID, and then has no path.
    let id = trust_domain.id_string();
    params.subject_alt_names = vec![SanType::URI(
        id.as_str().try_into().map_err(|_| KeyError::Unusable(format!("{id} is not ASCII")))?,
    )];
    let key = Arc::new(key);
    let handle = Handle::new(key.clone())?;
    let certificate =
        params.self_signed(&handle).map_err(|error| KeyError::Sign(error.to_string()))?.der().clone();
    let fingerprint = fingerprint(&certificate).into();
    Ok(Slot {
        item: Root { certificate, key, fingerprint },
        phase: Phase::Prepared,
        not_before,
        not_after,
        hurry: false,
        sequence: 0,
        retire_at: None,
    })
}
