//! Our own policies: what they act on, and what holds where several act on one thing.

mod fields;
pub(crate) mod listener;
mod targets;
pub(crate) mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::Service;
use api::gateway_api::{BackendTlsPolicy, ObjectMeta, Time, XBackend, XBackendTrafficPolicy};
use api::own::{BackendPolicy, ListenerPolicy, TrafficPolicy};
use api::{Object, ObjectKey};

use crate::context::Context;
use crate::index::Index;
use crate::problem::Problem;
use crate::status::Verdict;

pub(crate) use targets::{Level, Levels, Picked, Targets};

/// Policies by what they act on.
pub struct Policies<'a> {
    /// How listeners are connected to.
    pub(crate) listener: Targets<'a, ListenerPolicy>,
    /// What happens to requests.
    pub(crate) traffic: Targets<'a, TrafficPolicy>,
    /// How backends are connected to.
    pub(crate) backend: Targets<'a, BackendPolicy>,
    parts: BTreeMap<ObjectKey, Arc<traffic::Parts>>,
    resolved: BTreeMap<ObjectKey, Verdict>,
}

impl<'a> Policies<'a> {
    /// Sorts all policies by what they act on.
    pub fn new(index: &Index<'a>) -> Self {
        let parts = index.all::<TrafficPolicy>();
        Self {
            listener: Targets::new(index),
            traffic: Targets::new(index),
            backend: Targets::new(index),
            parts: parts.map(|policy| (policy.key(), Arc::new(traffic::Parts::of(policy)))).collect(),
            resolved: BTreeMap::new(),
        }
    }
}

/// Says of policies for backends which of their targets are not there. Their status has a place only for Gateways
/// that lead to a target.
fn warn_of_missing_targets(context: &mut Context<'_>) {
    let index = context.index;
    for policy in index.all::<BackendTlsPolicy>() {
        for (position, target) in policy.spec.target_refs.iter().enumerate() {
            let target = ObjectKey::new(&*target.group, &*target.kind, policy.namespace(), &*target.name);
            warn_of_missing_target(
                context,
                &policy.key(),
                position,
                target,
                &[(Service::GROUP, Service::KIND)],
            );
        }
    }
    for policy in index.all::<XBackendTrafficPolicy>() {
        for (position, target) in policy.spec.target_refs.iter().enumerate() {
            let target = ObjectKey::new(&*target.group, &*target.kind, policy.namespace(), &*target.name);
            let kinds = [(Service::GROUP, Service::KIND), (XBackend::GROUP, XBackend::KIND)];
            warn_of_missing_target(context, &policy.key(), position, target, &kinds);
        }
    }
}

fn warn_of_missing_target(
    context: &mut Context<'_>,
    policy: &ObjectKey,
    position: usize,
    target: ObjectKey,
    kinds: &[(&str, &str)],
) {
    let field = format!("spec.targetRefs[{position}]");
    if !kinds.contains(&(&target.group, &target.kind)) {
        let message = format!("kind {} is nothing that {} acts on", target.kind, policy.kind);
        let known: Vec<_> = kinds.iter().map(|(_, kind)| *kind).collect();
        let problem =
            Problem::error(policy, field, ("", ""), message, format!("target a {}", known.join(" or ")));
        context.problems.push(problem);
    } else if !context.index.inputs().objects.contains_key(&target) {
        let message = format!("{target} does not exist");
        context.problems.push(Problem::warning(policy, field, message, "create it or name another"));
    }
}

/// Notes what TrafficPolicies and BackendPolicies say about the objects that they name. After all routes are
/// compiled: only then is it known whether their references lead anywhere.
pub(crate) fn report(context: &mut Context<'_>) {
    warn_of_missing_targets(context);
    let index = context.index;
    for policy in index.all::<TrafficPolicy>() {
        let invalid = context.policies.parts.get(&policy.key()).map(|parts| parts.verdict.clone());
        let resolved = context.policies.resolved.get(&policy.key()).cloned();
        let targets = context.policies.traffic.verdicts(&policy.key());
        note(context, policy, targets, invalid.unwrap_or_default(), resolved);
    }
    for policy in index.all::<ListenerPolicy>() {
        let targets = context.policies.listener.verdicts(&policy.key());
        note(context, policy, targets, Verdict::Yes, None);
    }
    for policy in index.all::<BackendPolicy>() {
        let targets = context.policies.backend.verdicts(&policy.key());
        note(context, policy, targets, Verdict::Yes, None);
    }
}

fn note<P: Object>(
    context: &mut Context<'_>,
    policy: &P,
    targets: Vec<(ObjectKey, Verdict)>,
    invalid: Verdict,
    resolved: Option<Verdict>,
) {
    let key = policy.key();
    let generation = policy.metadata().generation;
    for (target, verdict) in targets {
        let accepted = invalid.clone().and(verdict);
        context.report_verdict(&key, "Accepted", &accepted);
        context.ancestors.note(&key, &target, || {
            let mut conditions =
                vec![accepted.condition("Accepted", generation, ("Accepted", "The policy is in force"))];
            let yes = ("ResolvedRefs", "Every reference resolves");
            conditions
                .extend(resolved.iter().map(|resolved| resolved.condition("ResolvedRefs", generation, yes)));
            conditions
        });
    }
}

/// Which of several policies for one thing is the older; of the same age the first by namespace and name
/// (GEP-713, conflict resolution).
pub(crate) fn age(metadata: &ObjectMeta) -> (Option<&Time>, Option<&str>, Option<&str>) {
    (metadata.creation_timestamp.as_ref(), metadata.namespace.as_deref(), metadata.name.as_deref())
}
