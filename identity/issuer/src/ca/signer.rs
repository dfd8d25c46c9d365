//! A signing certificate with its key and what is handed out with what it signs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{CertificateParams, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::key::{CaKey, Handle, KeyError};
use super::line::seconds;

/// What signs.
pub(crate) struct Signer {
    above: Vec<CertificateDer<'static>>,
    issuer: rcgen::Issuer<'static, Handle>,
    not_after: SystemTime,
    fingerprint: Arc<str>,
}

/// Why a signing certificate cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignerError {
    /// Not X.509.
    #[error("{0} is not a valid X.509 certificate")]
    Certificate(&'static str),
    /// It may not sign certificates.
    #[error("the signing certificate is not a CA: {0}")]
    NotCa(&'static str),
    /// The key is another's.
    #[error("the key does not belong to the signing certificate")]
    KeyMismatch,
    /// The key is of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Signer {
    /// A signer whose certificate is handed out with leaves (an intermediate), or not (a root, `above` empty).
    ///
    /// # Errors
    /// [`SignerError`] says why the certificate cannot sign.
    pub(crate) fn new(
        certificate: CertificateDer<'static>,
        above: Vec<CertificateDer<'static>>,
        key: Arc<dyn CaKey>,
    ) -> Result<Self, SignerError> {
        let parsed = parse(&certificate).ok_or(SignerError::Certificate("the signing certificate"))?;
        match parsed.basic_constraints() {
            Ok(Some(constraints)) if constraints.value.ca => {}
            _ => return Err(SignerError::NotCa("it has no basic constraint CA:TRUE")),
        }
        if let Ok(Some(usage)) = parsed.key_usage()
            && !usage.value.key_cert_sign()
        {
            return Err(SignerError::NotCa("its key usage lacks keyCertSign"));
        }
        if parsed.tbs_certificate.subject_pki.raw != key.public() {
            return Err(SignerError::KeyMismatch);
        }
        let mut not_after = expiry(&parsed);
        for higher in &above {
            let parsed = parse(higher).ok_or(SignerError::Certificate("a certificate of the chain"))?;
            not_after = not_after.min(expiry(&parsed));
        }
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, Handle::new(key)?)
            .map_err(|error| KeyError::Unusable(error.to_string()))?;
        let fingerprint = fingerprint(&certificate).into();
        Ok(Self { above, issuer, not_after, fingerprint })
    }

    /// The first expiry among the signing certificate and those above it: nothing is signed beyond it.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of the signing certificate, in hex.
    pub(crate) fn fingerprint(&self) -> &Arc<str> {
        &self.fingerprint
    }

    /// What follows a leaf: nothing under a root, else the intermediates from the signing one up.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.above
    }

    /// Signs. Blocks as long as the key's holder does.
    ///
    /// # Errors
    /// The key's holder did not sign.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        public: &SubjectPublicKeyInfo,
    ) -> Result<CertificateDer<'static>, KeyError> {
        let signed =
            params.signed_by(public, &self.issuer).map_err(|error| KeyError::Sign(error.to_string()))?;
        Ok(signed.der().clone())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

pub(crate) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

pub(crate) fn expiry(certificate: &X509Certificate<'_>) -> SystemTime {
    seconds(u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default())
}

/// SHA-256 in hex: how logs and status name a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(&Sha256::digest(certificate))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A serial number: 128 random bits, positive and without a leading zero, so that all of its 16 bytes are written.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn serial() -> Result<[u8; 16], KeyError> {
    let mut serial: [u8; 16] = random()?;
    // RFC 5280 §4.1.2.2: positive. One bit is set so that the first byte is never zero.
    let [first, ..] = &mut serial;
    *first = (*first & 0x7f) | 0x40;
    Ok(serial)
}

/// Random bytes from the cryptography library.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| KeyError::Unusable("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

/// How far `notBefore` lies in the past, for clocks that are behind (SPIRE's number).
pub(crate) const BACKDATED: Duration = Duration::from_secs(10);
