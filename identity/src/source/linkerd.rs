//! Linkerd's identity service: `io.linkerd.proxy.identity.Identity`, DER both ways.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use linkerd2_proxy_api::identity::CertifyRequest;
use linkerd2_proxy_api::identity::identity_client::IdentityClient;
use model::{LinkerdCa, Roots, RootsFrom};
use rustls::pki_types::CertificateDer;
use spiffe::TrustDomain;

use super::ask::{Answer, Ask, AskError};
use super::assembly::Assembly;
use super::request::KeyRequest;
use super::watched::FileWatch;
use super::{grpc, watched};
use crate::bundle::{BundleError, TrustBundle, TrustBundles};
use crate::dial::{Dialer, Target, chain_of};
use crate::pem::PemError;
use crate::tls::client::ClientAlpn;

/// Asks Linkerd's identity service.
pub(crate) struct AskLinkerd {
    /// How it is reached.
    pub(crate) settings: LinkerdCa,
    /// Whose anchors they are.
    pub(crate) trust_domain: TrustDomain,
    /// Connections.
    pub(crate) dialer: Dialer,
}

impl Ask for AskLinkerd {
    fn ask<'a>(&'a mut self, request: &'a KeyRequest) -> BoxFuture<'a, Result<Answer, AskError>> {
        Box::pin(self.certify(request))
    }
}

impl AskLinkerd {
    async fn certify(&self, request: &KeyRequest) -> Result<Answer, AskError> {
        let settings = &self.settings;
        let token = watched::read(&settings.token).await.map_err(AskError::Token)?;
        let token = token.trim();
        if token.is_empty() {
            return Err(AskError::NoToken(Arc::clone(&settings.token)));
        }
        let target = Target::host_port(&settings.address)
            .ok_or_else(|| AskError::Address(Arc::clone(&settings.address)))?;
        let anchors = anchors(&settings.roots).await?;
        let roots = grpc::roots(&settings.roots).await.map_err(AskError::Roots)?;
        // No ALPN, as Linkerd's own proxies do it: theirs would refuse one that they do not know.
        let tls = grpc::tls(roots, &settings.server_name, ClientAlpn::None)?;
        let channel = grpc::channel(&self.dialer, &target, Some(&tls)).await?;
        let mut client = IdentityClient::new(channel).max_decoding_message_size(ANSWER);
        let message = CertifyRequest {
            identity: settings.name.to_string(),
            token: token.as_bytes().to_vec(),
            certificate_signing_request: request.csr.clone(),
        };
        let answer = grpc::call(client.certify(message), token).await?;
        if answer.leaf_certificate.is_empty() {
            return Err(AskError::TooShort(0));
        }
        let chain = std::iter::once(answer.leaf_certificate).chain(answer.intermediate_certificates);
        Ok(Answer {
            chain: chain.map(CertificateDer::from).collect(),
            bundles: Some(TrustBundles::of(self.trust_domain.clone(), anchors)),
        })
    }
}

/// The trust anchors: of the service and of every peer.
pub(crate) async fn anchors(from: &RootsFrom) -> Result<TrustBundle, AskError> {
    match grpc::roots(from).await.map_err(AskError::Roots)? {
        Roots::Pem(anchors) => Ok(TrustBundle::from_pem(&anchors.0)?),
        // Public CAs do not say who is a workload of a mesh.
        Roots::System => Err(BundleError::Pem(PemError::NoCertificate).into()),
    }
}

/// Follows the anchors in a file: every peer is judged by them, so that they do not wait for the next renewal.
pub(crate) struct Anchors {
    pub(crate) path: Arc<str>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) assembly: Arc<Assembly>,
}

impl Anchors {
    /// Runs for ever. A file that cannot be used leaves the anchors of before.
    pub(crate) async fn follow(self) {
        let watch = FileWatch::new([&*self.path]);
        let from = RootsFrom::File(Arc::clone(&self.path));
        let mut last_error = None;
        loop {
            watch.changed().await;
            match anchors(&from).await {
                Ok(anchors) => {
                    last_error = None;
                    let bundles = TrustBundles::of(self.trust_domain.clone(), anchors);
                    self.assembly.take(|parts| parts.own = bundles);
                }
                Err(error) => {
                    let text = chain_of(&error);
                    if last_error.as_ref() != Some(&text) {
                        self.assembly.publisher().failed(&error);
                        last_error = Some(text);
                    }
                }
            }
        }
    }
}

/// Largest answer: chains are some kilobytes.
const ANSWER: usize = 1 << 20;
