//! Our own policies: what they act on, and what holds where several act on one thing.

mod fields;
mod targets;
pub(crate) mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::gateway_api::{ObjectMeta, Time};
use api::own::{BackendPolicy, TrafficPolicy};
use api::{Object, ObjectKey};

use crate::context::Context;
use crate::index::Index;
use crate::status::Verdict;

pub(crate) use targets::{Level, Levels, Picked, Targets};

/// Policies by what they act on.
pub struct Policies<'a> {
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
            traffic: Targets::new(index),
            backend: Targets::new(index),
            parts: parts.map(|policy| (policy.key(), Arc::new(traffic::Parts::of(policy)))).collect(),
            resolved: BTreeMap::new(),
        }
    }
}

/// Notes what TrafficPolicies and BackendPolicies say about the objects that they name. After all routes are
/// compiled: only then is it known whether their references lead anywhere.
pub fn report(context: &mut Context<'_>) {
    let index = context.index;
    for policy in index.all::<TrafficPolicy>() {
        let invalid = context.policies.parts.get(&policy.key()).map(|parts| parts.verdict.clone());
        let resolved = context.policies.resolved.get(&policy.key()).cloned();
        let targets = context.policies.traffic.verdicts(&policy.key());
        note(context, policy, targets, invalid.unwrap_or_default(), resolved);
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
