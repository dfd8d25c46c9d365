//! WorkloadRegistration: workloads outside Kubernetes to whom the built-in issuer gives identities.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Object;
use api::ObjectKey;
use api::own::{ConditionsStatus, WorkloadRegistration, WorkloadSelectors};

use super::DEFAULT_TRUST_DOMAIN;
use crate::context::Context;
use crate::output::{Registration, Selectors, Status};
use crate::policy::age;
use crate::problem::Problem;
use crate::routes::origin;
use crate::status::Verdict;

/// What the issuer is told, by `NAMESPACE/NAME`. A registration that is not sound is left out: nobody is given its ID.
pub(super) fn gather(context: &mut Context<'_>) -> BTreeMap<Arc<str>, Registration> {
    let issuer = context.mesh.issuer_domain.clone().unwrap_or_else(|| DEFAULT_TRUST_DOMAIN.into());
    let mut all: Vec<&WorkloadRegistration> = context.index.all::<WorkloadRegistration>().collect();
    all.sort_by_key(|registration| age(&registration.metadata));
    let mut sound = BTreeMap::new();
    let mut taken = BTreeMap::<Selectors, ObjectKey>::new();
    for registration in all {
        let key = registration.key();
        let mut accepted = Verdict::Yes;
        match read(registration, &issuer, &taken) {
            Ok(Some(read)) => {
                taken.insert(read.selectors.clone(), key.clone());
                sound.insert(format!("{}/{}", key.namespace, key.name).into(), read);
            }
            // An empty object is valid and does nothing: its owner is told so, and that is no mistake yet.
            Ok(None) => {
                accepted.fail("Incomplete", "spec.spiffeID is not set, so the registration does nothing")
            }
            Err((field, reason, message)) => {
                let problem = Problem::error(&key, field, ("Accepted", reason), message, "");
                accepted.report(problem, &mut context.problems);
            }
        }
        let yes = ("Accepted", "The issuer knows the workload");
        let conditions = vec![accepted.condition("Accepted", registration.metadata.generation, yes)];
        context.statuses.insert(key, Status::Conditions(ConditionsStatus { conditions }));
    }
    sound
}

/// Field, reason and message.
type Refusal = (&'static str, &'static str, String);

fn read(
    registration: &WorkloadRegistration,
    issuer: &str,
    taken: &BTreeMap<Selectors, ObjectKey>,
) -> Result<Option<Registration>, Refusal> {
    let spec = &registration.spec;
    let Some(id) = &spec.spiffe_id else { return Ok(None) };
    if id.trust_domain() != issuer {
        let message = format!("{id} is not of the issuer's trust domain; use an ID of spiffe://{issuer}/");
        return Err(("spec.spiffeID", "ForeignTrustDomain", message));
    }
    // Whoever may write objects in one namespace must not become somebody of another.
    let own = format!("/ns/{}/", registration.namespace());
    if !id.path().starts_with(&own) {
        let message = format!("{id} is not of the registration's namespace; begin its path with {own}");
        return Err(("spec.spiffeID", "ForeignNamespace", message));
    }
    let selectors = spec.selectors.as_ref().map(selectors).unwrap_or_default();
    if selectors == Selectors::default() {
        let message = "nothing tells the workload from others; name a uid, gid, path or pod".to_owned();
        return Err(("spec.selectors", "Invalid", message));
    }
    if let Some(name) = spec.dns_names.iter().find(|name| is_foreign(name, registration.namespace())) {
        let message =
            format!("{name} is a name of another namespace or mesh; use names that are the workload's own");
        return Err(("spec.dnsNames", "ForeignName", message));
    }
    if let Some(older) = taken.get(&selectors) {
        let message =
            format!("{older}, which is older, has the same selectors; tell the two workloads apart");
        return Err(("spec.selectors", "Conflicted", message));
    }
    Ok(Some(Registration {
        origin: origin(&registration.key()),
        spiffe_id: id.as_str().into(),
        selectors,
        ttl: spec.ttl.map(Into::into),
        dns_names: spec.dns_names.iter().map(|name| name.as_str().into()).collect(),
        federates_with: spec
            .federates_with
            .as_ref()
            .map(|domains| domains.iter().map(|domain| domain.as_str().into()).collect()),
        hint: spec.hint.as_deref().unwrap_or_default().into(),
    }))
}

/// Whether a DNS name is that of a Service of another namespace (`istiod.istio-system.svc`), or one by which Linkerd
/// knows a workload: who trusts the issuer's roots would take its holder for that.
fn is_foreign(name: &str, namespace: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let foreign_service = |pair: &[&str]| matches!(pair, [before, "svc"] if *before != namespace);
    labels.windows(2).any(foreign_service)
        || labels.windows(2).any(|pair| pair == ["serviceaccount", "identity"])
}

fn selectors(wanted: &WorkloadSelectors) -> Selectors {
    let unix = wanted.unix.as_ref();
    Selectors {
        uid: unix.and_then(|unix| unix.uid),
        gid: unix.and_then(|unix| unix.gid),
        path: unix.and_then(|unix| unix.path.as_deref()).map(Into::into),
        pod_uid: wanted.pod.as_ref().map(|pod| pod.uid.as_str().into()),
    }
}
