//! A fresh key and the request to certify it.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::id::WorkloadId;
use crate::pem;

/// A key made for one renewal, and a PKCS#10 request for it. Both are gone if the answer does not come.
pub(crate) struct KeyRequest {
    /// The key.
    pub(crate) key: PrivateKeyDer<'static>,
    /// The request, DER.
    pub(crate) csr: Vec<u8>,
}

/// The random source failed, or an ID cannot be written into a certificate.
#[derive(Debug, thiserror::Error)]
#[error("no key and request could be made")]
pub(crate) struct RequestError(#[source] rcgen::Error);

impl KeyRequest {
    /// A new P-256 key: what every CA signs, ztunnel's choice too. The subject is empty and the name critical. An
    /// issuer takes the name from who asks, not from here; some of Istio's registration authorities compare the two.
    pub(crate) fn new(id: &WorkloadId) -> Result<Self, RequestError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(RequestError)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = id.as_str().try_into().map_err(RequestError)?;
        params.subject_alt_names =
            vec![if id.is_dns() { SanType::DnsName(name) } else { SanType::URI(name) }];
        let csr = params.serialize_request(&key).map_err(RequestError)?;
        Ok(Self {
            csr: csr.der().to_vec(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    /// The request as PEM.
    pub(crate) fn csr_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.csr)
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer;

    use super::*;

    fn names(request: &KeyRequest) -> Vec<String> {
        let (rest, csr) = X509CertificationRequest::from_der(&request.csr).unwrap();
        assert!(rest.is_empty());
        csr.verify_signature().unwrap();
        assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
        let mut names = Vec::new();
        for extension in csr.requested_extensions().unwrap() {
            let ParsedExtension::SubjectAlternativeName(found) = extension else {
                panic!("more was asked for than a name: {extension:?}");
            };
            names.extend(found.general_names.iter().map(|name| match name {
                GeneralName::URI(uri) => format!("URI:{uri}"),
                GeneralName::DNSName(name) => format!("DNS:{name}"),
                other => panic!("{other:?}"),
            }));
        }
        names
    }

    #[test]
    fn the_request_names_the_workload_and_nothing_else() {
        let id = WorkloadId::parse("spiffe://td.example/ns/a/sa/b").unwrap();
        assert_eq!(names(&KeyRequest::new(&id).unwrap()), ["URI:spiffe://td.example/ns/a/sa/b"]);
        let id = WorkloadId::parse("b.a.serviceaccount.identity.linkerd.cluster.local").unwrap();
        let request = KeyRequest::new(&id).unwrap();
        assert_eq!(names(&request), ["DNS:b.a.serviceaccount.identity.linkerd.cluster.local"]);
    }

    #[test]
    fn every_request_has_a_key_of_its_own() {
        let id = WorkloadId::parse("spiffe://td.example/ns/a/sa/b").unwrap();
        let (one, other) = (KeyRequest::new(&id).unwrap(), KeyRequest::new(&id).unwrap());
        assert_ne!(one.key.secret_der(), other.key.secret_der());
    }

    #[test]
    fn pem_is_read_back() {
        let id = WorkloadId::parse("spiffe://td.example/ns/a/sa/b").unwrap();
        let request = KeyRequest::new(&id).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(request.csr_pem().as_bytes()).unwrap();
        assert_eq!((block.label.as_str(), &block.contents), ("CERTIFICATE REQUEST", &request.csr));
    }
}
