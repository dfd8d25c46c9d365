//! Reads certificate signing requests. Of what is in one only the public key is ever used; names are read to refuse
//! requests that ask for what they will not get.

use identity::SpiffeId;
use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo as ParsedKey;

/// A request whose signature was verified: whoever sent it holds the private key.
#[derive(Clone, Debug)]
pub struct Csr {
    pub(crate) public: SubjectPublicKeyInfo,
    /// RSA keys may also encipher keys; elliptic ones cannot.
    pub(crate) is_rsa: bool,
    uris: Vec<String>,
    dns_names: Vec<String>,
    /// A name of a kind that is never granted: address, mail, directory name…
    other_name: Option<&'static str>,
}

/// Why a request is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CsrError {
    /// More bytes than are read.
    #[error("the request has {0} bytes, at most {MAX_DER} are read")]
    TooLarge(usize),
    /// Not exactly one PEM block `CERTIFICATE REQUEST`.
    #[error("the request is not one PEM block CERTIFICATE REQUEST")]
    NotPem,
    /// Not PKCS#10.
    #[error("the request is no PKCS#10 request: {0}")]
    Malformed(&'static str),
    /// Signed by an algorithm that is too weak or unknown.
    #[error("the request is signed by an algorithm that is not accepted")]
    WeakSignature,
    /// Whoever sent it does not hold the private key.
    #[error("the signature of the request is wrong")]
    BadSignature,
    /// A key that is too weak, too costly, or unknown.
    #[error("keys must be ECDSA P-256 or P-384, or RSA of {MIN_RSA} to {MAX_RSA} bits; the request has {0}")]
    WeakKey(String),
    /// It wants to be a CA.
    #[error("the request asks for a CA certificate")]
    WantsCa,
    /// It names somebody else.
    #[error("the request names {0:?}, which its sender is not")]
    ForeignUri(String),
    /// It names a host that was not granted.
    #[error("the request names the host {0:?}, which is not granted to its sender")]
    ForeignDns(String),
    /// It carries a name of a kind that is never granted.
    #[error("the request carries {0}, which is never granted")]
    ForeignName(&'static str),
}

impl CsrError {
    /// Whether it asks for what is not its sender's, rather than being broken.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::ForeignUri(_) | Self::ForeignDns(_) | Self::ForeignName(_) | Self::WantsCa)
    }
}

/// Reads a request from PEM.
///
/// # Errors
/// As [`parse`], and [`CsrError::NotPem`].
pub fn parse_pem(pem: &str) -> Result<Csr, CsrError> {
    if pem.len() > MAX_PEM {
        return Err(CsrError::TooLarge(pem.len()));
    }
    let mut blocks = CertificateSigningRequestDer::pem_slice_iter(pem.as_bytes());
    let (Some(Ok(der)), None) = (blocks.next(), blocks.next()) else { return Err(CsrError::NotPem) };
    parse(&der)
}

/// Reads a request from DER, and verifies its signature. The cost of doing so is bounded.
///
/// # Errors
/// [`CsrError`] says what is wrong with it.
pub fn parse(der: &[u8]) -> Result<Csr, CsrError> {
    if der.len() > MAX_DER {
        return Err(CsrError::TooLarge(der.len()));
    }
    let request = match X509CertificationRequest::from_der(der) {
        Ok(([], request)) => request,
        Ok(_) => return Err(CsrError::Malformed("bytes are left after it")),
        Err(_) => return Err(CsrError::Malformed("it cannot be parsed")),
    };
    let info = &request.certification_request_info;
    // Bounds first: a signature under a giant key costs more than all the rest.
    let is_rsa = check_key(&info.subject_pki)?;
    let accepted = if is_rsa { &RSA_SIGNATURES[..] } else { &EC_SIGNATURES[..] };
    if !accepted.contains(&request.signature_algorithm.algorithm) {
        return Err(CsrError::WeakSignature);
    }
    request.verify_signature().map_err(|_| CsrError::BadSignature)?;
    let public = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_| CsrError::Malformed("its key cannot be parsed"))?;
    let mut csr = Csr { public, is_rsa, uris: Vec::new(), dns_names: Vec::new(), other_name: None };
    for attribute in info.iter_attributes() {
        if let ParsedCriAttribute::ExtensionRequest(extensions) = attribute.parsed_attribute() {
            for extension in &extensions.extensions {
                csr.read(extension.parsed_extension())?;
            }
        }
    }
    Ok(csr)
}

impl Csr {
    fn read(&mut self, extension: &ParsedExtension<'_>) -> Result<(), CsrError> {
        match extension {
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => Err(CsrError::WantsCa),
            ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
                Err(CsrError::WantsCa)
            }
            ParsedExtension::NameConstraints(_) => Err(CsrError::WantsCa),
            ParsedExtension::ParseError { .. } => Err(CsrError::Malformed("an extension cannot be parsed")),
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
                        GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                        GeneralName::IPAddress(_) => self.other_name = Some("an IP address"),
                        GeneralName::RFC822Name(_) => self.other_name = Some("a mail address"),
                        _ => self.other_name = Some("a name of another kind"),
                    }
                }
                Ok(())
            }
            // What else is asked for is not granted, as with Istio's CA.
            _ => Ok(()),
        }
    }

    /// Checks that it asks for nothing but what its sender is.
    ///
    /// # Errors
    /// [`CsrError::ForeignUri`], [`CsrError::ForeignDns`], [`CsrError::ForeignName`].
    pub fn check_names(&self, id: &SpiffeId, dns_names: &[String]) -> Result<(), CsrError> {
        let own = id.to_string();
        if let Some(uri) = self.uris.iter().find(|uri| **uri != own) {
            return Err(CsrError::ForeignUri(shown(uri)));
        }
        let granted = |name: &&String| !dns_names.iter().any(|granted| granted.eq_ignore_ascii_case(name));
        if let Some(name) = self.dns_names.iter().find(granted) {
            return Err(CsrError::ForeignDns(shown(name)));
        }
        self.other_name.map_or(Ok(()), |kind| Err(CsrError::ForeignName(kind)))
    }
}

/// Whether the key is RSA; an error if it is not accepted.
fn check_key(key: &ParsedKey<'_>) -> Result<bool, CsrError> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(false),
            _ => Err(CsrError::WeakKey("another curve".to_owned())),
        };
    }
    if *algorithm != OID_PKCS1_RSAENCRYPTION {
        return Err(CsrError::WeakKey("a key of another kind".to_owned()));
    }
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return Err(CsrError::WeakKey("an RSA key that cannot be read".to_owned()));
    };
    let bits = bits(rsa.modulus);
    if !(MIN_RSA..=MAX_RSA).contains(&bits) {
        return Err(CsrError::WeakKey(format!("RSA of {bits} bits")));
    }
    // An exponent as wide as the modulus makes one verification cost a thousand.
    if rsa.exponent.len() > 5 {
        return Err(CsrError::WeakKey("RSA with a giant exponent".to_owned()));
    }
    Ok(true)
}

fn bits(modulus: &[u8]) -> usize {
    let significant: &[u8] = match modulus.iter().position(|byte| *byte != 0) {
        Some(first) => modulus.split_at(first).1,
        None => return 0,
    };
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

/// A name as an error shows it: short.
fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}

/// Longest request, in bytes of DER.
const MAX_DER: usize = 16 * 1024;
/// The same as PEM, with room for line ends.
const MAX_PEM: usize = 24 * 1024;
const MIN_RSA: usize = 2048;
const MAX_RSA: usize = 4096;
const RSA_SIGNATURES: [x509_parser::oid_registry::Oid<'static>; 3] =
    [OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA];
const EC_SIGNATURES: [x509_parser::oid_registry::Oid<'static>; 3] =
    [OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512];

#[cfg(test)]
mod tests;
