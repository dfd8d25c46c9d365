//! Reads certificates, private keys and roots from PEM text, and says what is wrong with them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use zeroize::Zeroize;

/// What a leaf certificate says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Seconds since 1970 from which it holds.
    pub not_before: i64,
    /// Seconds since 1970 after which it no longer holds.
    pub not_after: i64,
    /// Its DNS names, as written.
    pub dns_names: Vec<String>,
    /// Its URIs, as written.
    pub uris: Vec<String>,
    /// Its subject, for logs.
    pub subject: String,
}

/// What is wrong with a PEM text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// No `CERTIFICATE` block.
    #[error("there is no PEM block CERTIFICATE in the certificate text")]
    NoCertificate,
    /// A block that is not PEM.
    #[error("the {what} text is not valid PEM: {detail}")]
    NotPem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The parser's words.
        detail: String,
    },
    /// A certificate that is not X.509.
    #[error("certificate {position} is not a valid X.509 certificate: {detail}")]
    BadCertificate {
        /// Its place in the text, from 1.
        position: usize,
        /// The parser's words.
        detail: String,
    },
    /// No private key block.
    #[error("there is no PEM block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY in the private key text")]
    NoKey,
    /// A key under a passphrase.
    #[error("the private key is encrypted; store it without a passphrase")]
    EncryptedKey,
    /// A key that cannot be used.
    #[error("the private key cannot be used: {detail}")]
    BadKey {
        /// The parser's words.
        detail: String,
    },
    /// The key is not the certificate's.
    #[error("the private key does not belong to the first certificate")]
    KeyMismatch,
}

/// Checks that a key pair can be served, and tells what its leaf says. Does not look at the clock or at trust.
///
/// # Errors
/// [`PemError`] names what is wrong.
pub fn validate_key_pair(certificate_chain: &str, private_key: &str) -> Result<CertificateFacts, PemError> {
    let key = certified_key_of(certificate_chain, private_key)?;
    let leaf = key.cert.first().ok_or(PemError::NoCertificate)?;
    facts(leaf, 1)
}

/// Checks that a text holds at least one usable CA certificate and no broken one; tells how many.
///
/// # Errors
/// [`PemError`] names what is wrong.
pub fn validate_roots(pem: &str) -> Result<usize, PemError> {
    roots(pem).map(|roots| roots.len())
}

/// A key pair ready for rustls, checked.
pub(crate) fn certified_key(pair: &KeyPair) -> Result<CertifiedKey, PemError> {
    certified_key_of(&pair.certificate_chain, pair.private_key.expose())
}

fn certified_key_of(certificate_chain: &str, private_key: &str) -> Result<CertifiedKey, PemError> {
    let chain = certificates(certificate_chain)?;
    for (index, certificate) in chain.iter().enumerate() {
        parse(certificate, index + 1)?;
    }
    let signing = signing_key(private_key_of(private_key)?)?;
    belonging(CertifiedKey::new(chain, signing))
}

/// A key ready for rustls. The bytes that it came in are wiped.
pub(crate) fn signing_key(mut key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, PemError> {
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
    key.zeroize();
    signing.map_err(|error| PemError::BadKey { detail: error.to_string() })
}

/// Checks that the key is the first certificate's.
pub(crate) fn belonging(certified: CertifiedKey) -> Result<CertifiedKey, PemError> {
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(PemError::KeyMismatch)
        }
        Err(error) => Err(PemError::BadKey { detail: error.to_string() }),
    }
}

/// Roots ready for rustls.
pub(crate) fn roots(pem: &str) -> Result<Arc<RootCertStore>, PemError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates(pem)?.into_iter().enumerate() {
        let position = index + 1;
        parse(&certificate, position)?;
        store
            .add(certificate)
            .map_err(|error| PemError::BadCertificate { position, detail: error.to_string() })?;
    }
    Ok(Arc::new(store))
}

/// What a certificate says of itself.
pub(crate) fn facts(certificate: &CertificateDer<'_>, position: usize) -> Result<CertificateFacts, PemError> {
    let parsed = parse(certificate, position)?;
    let mut facts = CertificateFacts {
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        subject: parsed.subject().to_string(),
        ..CertificateFacts::default()
    };
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| PemError::BadCertificate { position, detail: error.to_string() })?;
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => facts.dns_names.push((*name).to_owned()),
            GeneralName::URI(uri) => facts.uris.push((*uri).to_owned()),
            _ => {}
        }
    }
    Ok(facts)
}

/// One certificate, with nothing after it.
pub(crate) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
    position: usize,
) -> Result<X509Certificate<'a>, PemError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(PemError::BadCertificate { position, detail: "bytes are left after it".to_owned() }),
        Err(error) => Err(PemError::BadCertificate { position, detail: error.to_string() }),
    }
}

/// The certificates of a PEM text, at least one; not parsed yet.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| PemError::NotPem { what: "certificate", detail: error.to_string() })?;
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}

/// The private key of a PEM text.
pub(crate) fn private_key_of(pem: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    // PKCS#8 under a passphrase is a block of its own; PKCS#1 and SEC1 say so in a header.
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::NoKey,
        error => PemError::NotPem { what: "private key", detail: error.to_string() },
    })
}

/// Reads the revocation lists of a PEM text (`ca-crl.pem`); none is fine. What is in them is checked when they are
/// published.
///
/// # Errors
/// [`PemError::NotPem`].
pub fn revocation_lists(pem: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    CertificateRevocationListDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| PemError::NotPem { what: "revocation list", detail: error.to_string() })
}

/// DER as a PEM block (RFC 7468), lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
