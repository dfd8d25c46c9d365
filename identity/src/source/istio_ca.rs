//! An Istio CA (istiod, istio-csr, our own issuer): `istio.v1.auth.IstioCertificateService`.
//!
//! Who we are is said by the token. A CA also takes a certificate of its mesh in its place, and so do we where the token
//! is missing or not accepted (workloads outside Kubernetes have one that is good once). It is not shown otherwise: a
//! CA whose roots have changed fails the handshake over it, and with it the renewal that would mend matters.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use model::IstioCa;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use spiffe::TrustDomain;
use tonic::metadata::MetadataValue;
use tracing::debug;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::ask::{Answer, Ask, AskError};
use super::request::KeyRequest;
use super::{grpc, watched};
use crate::bundle::{TrustBundle, TrustBundles};
use crate::dial::{Dialer, Target};
use crate::material::Identity;
use crate::pem;
use crate::proto::istio::IstioCertificateRequest;
use crate::proto::istio::istio_certificate_service_client::IstioCertificateServiceClient;
use crate::tls::client::ClientAlpn;

/// Asks an Istio CA.
pub(crate) struct AskIstioCa {
    /// How it is reached.
    pub(crate) settings: IstioCa,
    /// Whose roots the answer's are.
    pub(crate) trust_domain: TrustDomain,
    /// Whose certificate may stand in for the token.
    pub(crate) identity: Identity,
    /// Connections.
    pub(crate) dialer: Dialer,
}

/// What says who we are.
enum Credential {
    Token(String),
    Certificate(Arc<CertifiedKey>),
}

impl Ask for AskIstioCa {
    fn ask<'a>(&'a mut self, request: &'a KeyRequest) -> BoxFuture<'a, Result<Answer, AskError>> {
        Box::pin(async move {
            let held = self.identity.material().map(|material| Arc::clone(material.svid.certified_key()));
            let chain = match (self.token().await, held) {
                (Ok(token), held) => match (self.create(request, Credential::Token(token)).await, held) {
                    (Err(error), Some(key)) if error.is_unauthenticated() => {
                        debug!("The token was not accepted: asking with the certificate that is held");
                        self.create(request, Credential::Certificate(key)).await.map_err(|_| error)
                    }
                    (result, _) => result,
                },
                (Err(error), Some(key)) => {
                    debug!(%error, "There is no token: asking with the certificate that is held");
                    self.create(request, Credential::Certificate(key)).await
                }
                (Err(error), None) => Err(error),
            }?;
            let (chain, roots) = split(&chain)?;
            Ok(Answer { chain, bundles: Some(TrustBundles::of(self.trust_domain.clone(), roots)) })
        })
    }
}

impl AskIstioCa {
    /// Read for each call: the kubelet replaces it.
    async fn token(&self) -> Result<String, AskError> {
        let token = watched::read(&self.settings.token).await.map_err(AskError::Token)?;
        let token = token.trim();
        if token.is_empty() {
            return Err(AskError::NoToken(Arc::clone(&self.settings.token)));
        }
        Ok(token.to_owned())
    }

    async fn create(&self, request: &KeyRequest, credential: Credential) -> Result<Vec<String>, AskError> {
        let address = &self.settings.address;
        let bad_address = || AskError::Address(Arc::clone(address));
        let target = Target::host_port(address).ok_or_else(bad_address)?;
        let host = target.host().ok_or_else(bad_address)?;
        let roots = grpc::roots(&self.settings.roots).await.map_err(AskError::Roots)?;
        let mut tls = grpc::tls(roots, host, ClientAlpn::Http2)?;

        let mut message = tonic::Request::new(IstioCertificateRequest {
            csr: request.csr_pem(),
            validity_duration: i64::try_from(self.settings.ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: None,
        });
        let token = match &credential {
            Credential::Token(token) => token.as_str(),
            Credential::Certificate(key) => {
                tls = grpc::with_certificate(&tls, key);
                ""
            }
        };
        if !token.is_empty() {
            let mut value = MetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|_| AskError::NoToken(Arc::clone(&self.settings.token)))?;
            value.set_sensitive(true);
            message.metadata_mut().insert("authorization", value);
        }
        // An unusable cluster is none: the CA takes its own then, or refuses.
        if let Ok(cluster) = MetadataValue::try_from(&*self.settings.cluster_id) {
            message.metadata_mut().insert("clusterid", cluster);
        }
        let channel = grpc::channel(&self.dialer, &target, Some(&tls)).await?;
        let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(ANSWER);
        Ok(grpc::call(client.create_certificate(message), token).await?.cert_chain)
    }
}

/// Splits `[leaf, intermediate…, roots]`. Every element is one certificate, but the last may be several roots, and a
/// root may stand among the intermediates too (a CA whose Secret is of type `kubernetes.io/tls`): peers have it.
fn split(parts: &[String]) -> Result<(Vec<CertificateDer<'static>>, TrustBundle), AskError> {
    let (last, before) = match parts.split_last() {
        Some((last, before)) if !before.is_empty() => (last, before),
        _ => return Err(AskError::TooShort(parts.len())),
    };
    let read =
        |part: usize, text: &str| pem::certificates(text).map_err(|source| AskError::Part { part, source });
    let roots = TrustBundle::from_roots(read(parts.len(), last)?)?;
    let mut chain = Vec::new();
    for (index, text) in before.iter().enumerate() {
        for certificate in read(index + 1, text)? {
            // The first is the leaf, whatever it is: the check of it says what is wrong.
            if chain.is_empty() || !is_root(&certificate, &roots) {
                chain.push(certificate);
            }
        }
    }
    Ok((chain, roots))
}

fn is_root(certificate: &CertificateDer<'_>, roots: &TrustBundle) -> bool {
    roots.x509.iter().any(|root| **root == **certificate)
        || X509Certificate::from_der(certificate)
            .is_ok_and(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

/// Largest answer: chains are some kilobytes.
const ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestCa;

    proptest! {
        #[test]
        fn no_answer_panics(parts in proptest::collection::vec(".{0,200}", 0..5), bytes in any::<Vec<u8>>()) {
            let _ = split(&parts);
            // Well-formed PEM of anything, beside what is good.
            let root = TestCa::new("td.example").anchors().0.to_string();
            let odd = pem::encode("CERTIFICATE", &bytes);
            prop_assert!(split(&[root.clone(), odd.clone()]).is_err());
            let (chain, roots) = split(&[odd, root]).unwrap();
            prop_assert_eq!((chain.len(), roots.x509.len()), (1, 1));
        }
    }
}
