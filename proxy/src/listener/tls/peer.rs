//! What a client's certificate says.

use std::fmt::Write;

use identity::PeerVerdict;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A client's certificate, for `X-Forwarded-Client-Cert`, logs and policies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerCertificate {
    /// The certificate itself, in DER.
    pub der: CertificateDer<'static>,
    /// Whether it chains to the listener's roots and is in date. If not, nothing else here may be believed.
    pub verified: bool,
    /// Subject, RFC 4514 as x509-parser prints it.
    pub subject: String,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS subject alternative names.
    pub dns_names: Vec<String>,
    /// SHA-256 of the certificate in DER, as lower-case hexadecimal digits.
    pub sha256: String,
}

impl PeerCertificate {
    /// Reads the leaf of a chain. None if it is not readable: then nothing is said about the client.
    pub(super) fn read(chain: &[CertificateDer<'_>], verdict: PeerVerdict) -> Option<Self> {
        let leaf = chain.first()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let verified = verdict == PeerVerdict::Verified;
        let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    _ => {}
                }
            }
        }
        let sha256 = Sha256::digest(leaf).iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let der = leaf.clone().into_owned();
        Some(Self { der, verified, subject: certificate.subject().to_string(), uris, dns_names, sha256 })
    }

    /// The SPIFFE ID, if the certificate is verified and has exactly one URI, which is one.
    pub fn spiffe_id(&self) -> Option<&str> {
        match self.uris.as_slice() {
            [uri] if self.verified && uri.starts_with("spiffe://") => Some(uri),
            _ => None,
        }
    }
}
