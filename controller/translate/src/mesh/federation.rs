//! FederatedTrustDomain: other trust domains, and where their bundles come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::ConfigMap;
use api::own::{ConditionsStatus, FederatedTrustDomain, FederationEndpoint, FederationProfile};
use api::{Object, ObjectKey};
use identity::TrustBundle;
use model::{BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, TrustAnchors, TrustDomainName};

use super::chain;
use crate::context::Context;
use crate::output::Status;
use crate::policy::age;
use crate::problem::Problem;
use crate::routes::origin;
use crate::status::Verdict;

/// Looks at every FederatedTrustDomain. One that is not sound is left out as a whole: nobody of its domain is believed.
pub(super) fn gather(context: &mut Context<'_>) {
    let mut all: Vec<&FederatedTrustDomain> = context.index.all::<FederatedTrustDomain>().collect();
    all.sort_by_key(|domain| age(&domain.metadata));
    let mut taken = BTreeMap::<TrustDomainName, ObjectKey>::new();
    for domain in all {
        let mut look = Look { domain, key: domain.key(), accepted: Verdict::Yes, resolved: Verdict::Yes };
        if let Some(name) = look.name(&taken, context) {
            taken.insert(name.clone(), look.key.clone());
            let federated = look.read(context);
            if let Some(federated) = federated.filter(|_| look.accepted.is_yes() && look.resolved.is_yes()) {
                context.mesh.federated.insert(name, Arc::new(federated));
            }
        }
        look.note(context);
    }
}

struct Look<'d> {
    domain: &'d FederatedTrustDomain,
    key: ObjectKey,
    accepted: Verdict,
    resolved: Verdict,
}

impl Look<'_> {
    /// The name, if the object may speak for it.
    fn name(
        &mut self,
        taken: &BTreeMap<TrustDomainName, ObjectKey>,
        context: &mut Context<'_>,
    ) -> Option<TrustDomainName> {
        let Some(name) = &self.domain.spec.trust_domain else {
            // An empty object is valid and does nothing: its owner is told so, and that is no mistake yet.
            self.accepted.fail("Incomplete", "spec.trustDomain is not set, so the object does nothing");
            return None;
        };
        let name = TrustDomainName::from(name.as_str());
        let issuer = &context.index.inputs().mesh.trust_domain;
        let own = issuer.as_deref() == Some(name.as_str())
            || context.mesh.identities.values().any(|identity| *identity.trust_domain == *name.as_str());
        if own {
            let message =
                format!("{name} is the own trust domain of this mesh, whose bundle comes with its identity");
            self.refuse(
                "spec.trustDomain",
                ("Accepted", "Invalid"),
                message,
                "name another trust domain",
                context,
            );
            return None;
        }
        if let Some(older) = taken.get(&name) {
            let message = format!("{older}, which is older, speaks for {name}");
            self.refuse(
                "spec.trustDomain",
                ("Accepted", "Conflicted"),
                message,
                "remove one of the two",
                context,
            );
            return None;
        }
        Some(name)
    }

    fn read(&mut self, context: &mut Context<'_>) -> Option<FederatedDomain> {
        let spec = &self.domain.spec;
        if spec.endpoint.is_none() && spec.bootstrap.is_none() {
            let message = "the bundle must come from somewhere";
            self.refuse("spec", ("Accepted", "Invalid"), message, "add endpoint or bootstrap", context);
            return None;
        }
        let endpoint = match &spec.endpoint {
            Some(endpoint) => Some(self.endpoint(endpoint, context)?),
            None => None,
        };
        let bootstrap = match &spec.bootstrap {
            Some(wanted) => {
                let namespace =
                    wanted.namespace.as_deref().unwrap_or(api::own::BootstrapBundle::DEFAULT_NAMESPACE);
                match bundle(context, namespace, &wanted.config_map) {
                    Ok(bundle) => Some(bundle),
                    Err((reason, message)) => {
                        let mend = "it must hold a SPIFFE bundle document in bundle.json, or roots in ca.crt";
                        let reason = ("ResolvedRefs", reason);
                        self.refuse("spec.bootstrap.configMap", reason, message, mend, context);
                        return None;
                    }
                }
            }
            None => None,
        };
        Some(FederatedDomain { origin: origin(&self.key), endpoint, bootstrap })
    }

    /// What admission checks is checked again: a URL or a profile that slipped in must not weaken the check.
    fn endpoint(&mut self, wanted: &FederationEndpoint, context: &mut Context<'_>) -> Option<BundleEndpoint> {
        let host = wanted.url.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || host.contains(['@', '?', '#', ' ']) || host.starts_with(['/', ':']) {
            // The URL is not repeated: what makes it unfit may be a password.
            let message = "it is no https URL without user information, query and fragment";
            self.refuse("spec.endpoint.url", ("Accepted", "Invalid"), message, "", context);
            return None;
        }
        let profile = match (wanted.profile.unwrap_or_default(), &wanted.server_id) {
            (FederationProfile::HttpsWeb, None) => BundleProfile::HttpsWeb,
            (FederationProfile::HttpsSpiffe, Some(id)) => {
                BundleProfile::HttpsSpiffe { server_id: id.as_str().into() }
            }
            _ => {
                let message = "it goes with profile https_spiffe, and only with it";
                self.refuse("spec.endpoint.serverID", ("Accepted", "Invalid"), message, "", context);
                return None;
            }
        };
        Some(BundleEndpoint { url: wanted.url.as_str().into(), profile })
    }

    fn refuse(
        &mut self,
        field: &str,
        reason: (&'static str, &'static str),
        message: impl Into<String>,
        mend: &str,
        context: &mut Context<'_>,
    ) {
        let problem = Problem::error(&self.key, field, reason, message, mend);
        let verdict = if reason.0 == "ResolvedRefs" { &mut self.resolved } else { &mut self.accepted };
        verdict.report(problem, &mut context.problems);
    }

    fn note(self, context: &mut Context<'_>) {
        let generation = self.domain.metadata.generation;
        let conditions = vec![
            self.accepted.condition("Accepted", generation, ("Accepted", "The trust domain is believed")),
            self.resolved.condition("ResolvedRefs", generation, ("ResolvedRefs", "Every reference resolves")),
        ];
        context.statuses.insert(self.key, Status::Conditions(ConditionsStatus { conditions }));
    }
}

/// The bundle in a ConfigMap. Bundles are public; the object that names it is cluster-scoped, and so its author's
/// word counts in every namespace.
fn bundle(
    context: &Context<'_>,
    namespace: &str,
    name: &str,
) -> Result<BootstrapBundle, (&'static str, String)> {
    let object = ObjectKey::of::<ConfigMap>(namespace, name);
    let Some(map) = context.index.find::<ConfigMap>(namespace, name) else {
        return Err(("BundleNotFound", format!("{object} does not exist")));
    };
    let text = |key: &str| map.data.as_ref().and_then(|data| data.get(key)).filter(|text| !text.is_empty());
    if let Some(document) = text("bundle.json") {
        return match TrustBundle::from_document(document.as_bytes()) {
            Ok(_) => Ok(BootstrapBundle::Document(document.as_str().into())),
            Err(error) => {
                let error = chain(&error);
                Err(("InvalidBundle", format!("bundle.json of {object} is no bundle: {error}")))
            }
        };
    }
    let Some(pem) = text("ca.crt") else {
        return Err(("InvalidBundle", format!("{object} has neither bundle.json nor ca.crt in its data")));
    };
    match TrustBundle::from_pem(pem) {
        Ok(_) => Ok(BootstrapBundle::Pem(TrustAnchors(pem.as_str().into()))),
        Err(error) => {
            Err(("InvalidBundle", format!("ca.crt of {object} holds no sound roots: {}", chain(&error))))
        }
    }
}
