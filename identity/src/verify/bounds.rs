//! X26, X27: what is refused before a signature is looked at, so that a hostile chain costs little.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::VerifyError;

/// Leaf and six intermediates: what webpki's path can hold.
const MAX_CERTIFICATES: usize = 7;
/// All certificates together; TLS lets no more through either.
const MAX_BYTES: usize = 64 * 1024;
/// Names of one certificate. Mesh leaves have a handful.
const MAX_NAMES: usize = 100;
/// Below, it can be broken; above, every signature by it is paid for by us.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Checks number, size, names and keys of all certificates of a chain; returns them, parsed once.
pub(super) fn check<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, VerifyError> {
    if chain.is_empty() {
        return Err(VerifyError::NoCertificate);
    }
    if chain.len() > MAX_CERTIFICATES {
        return Err(VerifyError::ChainTooLong { count: chain.len(), max: MAX_CERTIFICATES });
    }
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > MAX_BYTES {
        return Err(VerifyError::ChainTooLarge { bytes, max: MAX_BYTES });
    }
    let checked = chain.iter().enumerate().map(|(index, certificate)| {
        let position = index + 1;
        let parsed = parse(certificate, position)?;
        check_names(&parsed, position)?;
        check_key(&parsed, position)?;
        Ok(parsed)
    });
    checked.collect()
}

/// One certificate, with nothing after it.
pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
    position: usize,
) -> Result<X509Certificate<'a>, VerifyError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(VerifyError::Malformed { position, detail: "bytes are left after it".to_owned() }),
        Err(error) => Err(VerifyError::Malformed { position, detail: error.to_string() }),
    }
}

fn check_names(parsed: &X509Certificate<'_>, position: usize) -> Result<(), VerifyError> {
    // A second extension of the kind is the malformed certificate's own fault, found where its names are read.
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Ok(()) };
    match names.value.general_names.len() {
        count if count > MAX_NAMES => Err(VerifyError::TooManyNames { position, count, max: MAX_NAMES }),
        _ => Ok(()),
    }
}

fn check_key(parsed: &X509Certificate<'_>, position: usize) -> Result<(), VerifyError> {
    let key = parsed.public_key();
    let unacceptable = |key: String| Err(VerifyError::UnacceptableKey { position, key });
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            if RSA_BITS.contains(&bits) { Ok(()) } else { unacceptable(format!("RSA of {bits} bits")) }
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve {
                Some(curve)
                    if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 || curve == OID_NIST_EC_P521 =>
                {
                    Ok(())
                }
                Some(curve) => unacceptable(format!("of the curve {curve}")),
                None => unacceptable("of a curve that is not named".to_owned()),
            }
        }
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => Ok(()),
        _ => unacceptable(format!("of the kind {}", key.algorithm.algorithm)),
    }
}
