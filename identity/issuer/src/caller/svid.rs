//! Renewal: whoever holds a current SVID of ours gets the next one for the same ID, and nothing else.

use identity::TrustBundles;
use identity::verify::{Role, verify_chain};
use model::PeerProfile;

use super::{Caller, Callers, Peer};
use crate::audit::{Method, Who};
use crate::refusal::Refusal;

impl Callers {
    /// Verified anew for each request: a connection may outlive its certificate, or the root of it.
    pub(super) fn by_svid(&self, peer: &Peer, who: &mut Who) -> Result<Caller, Refusal> {
        who.method = Method::Svid;
        let bundle = self.authority.current().bundle.clone();
        // Only our own trust domain's: we issue for no other.
        let bundles = TrustBundles([(self.trust_domain.clone(), bundle)].into());
        let facts =
            verify_chain(&peer.chain, &bundles, Role::Client, PeerProfile::SpiffeStrict, self.clock.now())
                .map_err(|error| Refusal::unauthenticated("bad-certificate", error.to_string()))?;
        who.caller = facts.id.to_string();
        let id = facts
            .id
            .spiffe()
            .ok_or_else(|| Refusal::unauthenticated("bad-certificate", "the certificate has no SPIFFE ID"))?;
        let grant = self.registry.grant(id);
        Ok(Caller {
            id: id.clone(),
            who: who.clone(),
            dns_names: grant.dns_names,
            max_ttl: grant.ttl,
            spends: None,
        })
    }
}
