//! Who calls the Istio CA. One proof decides: a token if one is shown, else the client certificate; what fails is not
//! tried in another way.

mod bootstrap;
mod jwks;
mod review;
mod subject;
mod svid;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::{Clock, SpiffeId, TrustDomain};
use rustls_pki_types::CertificateDer;

use crate::audit::{Method, Who};
use crate::ca::authority::Authority;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::settings::IssuerSettings;

use jwks::Jwks;
use review::Reviewer;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// What it showed, leaf first. It holds the key; nothing else was verified. Empty: it showed nothing.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
}

/// Who calls, proven.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) id: SpiffeId,
    pub(crate) who: Who,
    pub(crate) dns_names: Vec<String>,
    pub(crate) max_ttl: Option<Duration>,
    /// A token that is spent when the certificate is signed.
    pub(crate) spends: Option<String>,
}

/// Tells callers apart.
#[derive(Debug)]
pub(crate) struct Callers {
    trust_domain: TrustDomain,
    authority: Arc<Authority>,
    registry: Arc<Registry>,
    clock: Clock,
    jwks: Option<Jwks>,
    reviewer: Option<Reviewer>,
    svid_renewal: bool,
}

impl Callers {
    pub(crate) fn new(settings: &IssuerSettings, authority: Arc<Authority>, registry: Arc<Registry>) -> Self {
        Self {
            trust_domain: settings.trust_domain.clone(),
            authority,
            registry,
            clock: settings.clock.clone(),
            jwks: settings.jwt_callers.clone().map(Jwks::new),
            reviewer: settings.token_review.clone().map(Reviewer::new),
            svid_renewal: settings.svid_renewal,
        }
    }

    /// Who calls: a refusal comes with what is known of who was refused.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn authenticate(
        &self,
        peer: &Peer,
        authorization: Option<&[u8]>,
    ) -> Result<Caller, (Who, Refusal)> {
        let mut who = Who { method: Method::None, caller: String::new(), peer: peer.address.to_string() };
        let result = match (authorization, peer.chain.is_empty()) {
            (Some(header), _) => self.by_token(header, &mut who).await,
            (None, false) if self.svid_renewal => self.by_svid(peer, &mut who),
            (None, false) => Err(Refusal::unauthenticated("no-renewal", "certificates are no proof here")),
            (None, true) => {
                Err(Refusal::unauthenticated("no-credentials", "neither a token nor a certificate was shown"))
            }
        };
        result.map_err(|refusal| (who, refusal))
    }

    async fn by_token(&self, header: &[u8], who: &mut Who) -> Result<Caller, Refusal> {
        let token = bearer(header)?;
        if bootstrap::is_one(token) {
            return self.by_bootstrap_token(token, who);
        }
        // The issuer that it claims says who verifies it; whoever that is does verify it.
        if let Some(jwks) = &self.jwks
            && jwks.is_of(token)
        {
            who.method = Method::Jwks;
            let subject = jwks.verify(token, self.clock.now()).await?;
            return self.service_account(subject, who);
        }
        let Some(reviewer) = &self.reviewer else {
            return Err(Refusal::unauthenticated(
                "foreign-issuer",
                "nobody here verifies tokens of that issuer",
            ));
        };
        who.method = Method::TokenReview;
        let subject = reviewer.review(token).await?;
        self.service_account(subject, who)
    }

    fn service_account(&self, subject: subject::Subject, who: &mut Who) -> Result<Caller, Refusal> {
        who.caller = subject.to_string();
        let id = subject.spiffe_id(&self.trust_domain)?;
        Ok(Caller { id, who: who.clone(), dns_names: Vec::new(), max_ttl: None, spends: None })
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(header: &[u8]) -> Result<&str, Refusal> {
    let wrong = || Refusal::unauthenticated("bad-header", "the header is not \"Bearer TOKEN\"");
    let text = std::str::from_utf8(header).map_err(|_| wrong())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(wrong)?;
    // RFC 7235 §2.1: schemes are compared without case.
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
        return Err(wrong());
    }
    if token.len() > MAX_TOKEN {
        return Err(Refusal::unauthenticated(
            "token-too-large",
            format!("the token has {} bytes", token.len()),
        ));
    }
    Ok(token)
}

/// Longest token that is looked at; those of Kubernetes have about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;
