//! What one caller sees: its SVIDs, kept between messages, and the bundles that it may know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use identity::proto::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use identity::{TrustBundle, TrustBundles, TrustDomain};
use zeroize::Zeroizing;

use crate::audit::Who;
use crate::mint::{Issued, Mint, Order};
use crate::refusal::Refusal;
use crate::settings::{Configuration, Registration};

use super::attest::Facts;

/// The registrations that match a caller, by name.
pub(super) type Matches = BTreeMap<Arc<str>, Registration>;

/// The registrations that match.
pub(super) fn matching(configuration: &Configuration, facts: &Facts) -> Matches {
    let all = configuration.registrations.iter();
    let matching = all.filter(|(_, registration)| registration.selectors.match_facts(facts));
    matching.map(|(name, registration)| (name.clone(), registration.clone())).collect()
}

/// SVIDs that a stream holds.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<Arc<str>, HeldSvid>);

#[derive(Debug)]
struct HeldSvid {
    registration: Registration,
    issued: Issued,
    key: Zeroizing<Vec<u8>>,
    renew_at: SystemTime,
}

impl Held {
    /// Brings the SVIDs up to date: issues what is missing, due, or under a root that is gone.
    ///
    /// # Errors
    /// Nothing can be issued, and there is nothing that still holds.
    pub(super) async fn refresh(
        &mut self,
        mint: &Mint,
        who: &Who,
        matches: &Matches,
        believed: &[Arc<str>],
    ) -> Result<(), Refusal> {
        self.0.retain(|name, held| matches.get(name) == Some(&held.registration));
        let now = mint.clock.now();
        for (name, registration) in matches {
            let held = self.0.get(name);
            let good = held.is_some_and(|held| now < held.renew_at && believed.contains(&held.issued.signer));
            if good {
                continue;
            }
            match issue(mint, who, registration).await {
                Ok(fresh) => {
                    self.0.insert(name.clone(), fresh);
                }
                // What still holds is better than nothing; it is tried again soon.
                Err(_) if held.is_some_and(|held| now < held.issued.not_after) => {
                    if let Some(held) = self.0.get_mut(name) {
                        held.renew_at = now + AGAIN;
                    }
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    /// When the next one is due.
    pub(super) fn renew_at(&self) -> Option<SystemTime> {
        self.0.values().map(|held| held.renew_at).min()
    }

    /// As a message.
    pub(super) fn response(&self, own: &TrustDomain, bundles: &TrustBundles) -> X509svidResponse {
        let bundle = bundles.0.get(own).map(|bundle| roots(bundle)).unwrap_or_default();
        let svids = self.0.values().map(|held| X509svid {
            spiffe_id: held.registration.spiffe_id.to_string(),
            x509_svid: held.issued.chain.iter().flat_map(|der| der.iter().copied()).collect(),
            x509_svid_key: held.key.to_vec(),
            bundle: bundle.clone(),
            hint: held.registration.hint.clone(),
        });
        let registrations = self.0.values().map(|held| &held.registration);
        let federated_bundles = visible(own, bundles, registrations)
            .filter(|(trust_domain, _)| *trust_domain != own)
            .map(|(trust_domain, bundle)| (trust_domain.id_string(), roots(bundle)))
            .collect();
        X509svidResponse { svids: svids.collect(), crl: Vec::new(), federated_bundles }
    }
}

async fn issue(mint: &Mint, who: &Who, registration: &Registration) -> Result<HeldSvid, Refusal> {
    let order = Order {
        id: &registration.spiffe_id,
        dns_names: &registration.dns_names,
        ttl: registration.ttl,
        max_ttl: None,
        roots_go_along: false,
    };
    let now = mint.clock.now();
    let (issued, key) = mint.issue_with_key(who, order).await?;
    let life = issued.not_after.duration_since(now).unwrap_or_default();
    Ok(HeldSvid { registration: registration.clone(), issued, key, renew_at: now + life / 2 })
}

/// The bundles that the registrations may see: their own trust domain's, and those that they federate with.
fn visible<'a>(
    own: &'a TrustDomain,
    bundles: &'a TrustBundles,
    registrations: impl Iterator<Item = &'a Registration>,
) -> impl Iterator<Item = (&'a TrustDomain, &'a Arc<TrustBundle>)> {
    let mut everybody = false;
    let mut named: Vec<&TrustDomain> = vec![own];
    for registration in registrations {
        match &registration.federates_with {
            None => everybody = true,
            Some(domains) => named.extend(domains),
        }
    }
    bundles.0.iter().filter(move |(trust_domain, _)| everybody || named.contains(trust_domain))
}

/// The X.509 bundles that a caller may see.
pub(super) fn x509_bundles(
    own: &TrustDomain,
    bundles: &TrustBundles,
    matches: &Matches,
) -> X509BundlesResponse {
    let bundles: BTreeMap<_, _> = visible(own, bundles, matches.values())
        .map(|(trust_domain, bundle)| (trust_domain.id_string(), roots(bundle)))
        .collect();
    X509BundlesResponse { crl: Vec::new(), bundles }
}

/// The JWT bundles that a caller may see.
pub(super) fn jwt_bundles(
    own: &TrustDomain,
    bundles: &TrustBundles,
    matches: &Matches,
) -> JwtBundlesResponse {
    let bundles: BTreeMap<_, _> = visible(own, bundles, matches.values())
        .map(|(trust_domain, bundle)| {
            // Consumers of this call take every entry for a JWT key.
            let jwt = TrustBundle { x509: Vec::new(), ..TrustBundle::clone(bundle) };
            (trust_domain.id_string(), jwt.to_document().into_bytes())
        })
        .collect();
    JwtBundlesResponse { bundles }
}

/// The bundles that count when a caller has a token verified.
pub(super) fn believed(own: &TrustDomain, bundles: &TrustBundles, matches: &Matches) -> TrustBundles {
    let seen = visible(own, bundles, matches.values());
    TrustBundles(seen.map(|(trust_domain, bundle)| (trust_domain.clone(), bundle.clone())).collect())
}

fn roots(bundle: &TrustBundle) -> Vec<u8> {
    bundle.x509.iter().flat_map(|der| der.iter().copied()).collect()
}

/// After an SVID could not be renewed.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
