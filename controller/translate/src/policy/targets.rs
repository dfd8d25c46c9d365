//! What policies act on, and which of several wins on a field.

use std::collections::{BTreeMap, BTreeSet};

use api::own::{BackendPolicy, TargetRef, TargetSelector, TrafficPolicy};
use api::{AnyObject, Object, ObjectKey};

use super::{age, fields::fields};
use crate::index::Index;
use crate::status::Verdict;

/// A policy that is merged with others, field by field.
pub(crate) trait Policy: Object {
    /// Objects that it names.
    fn target_refs(&self) -> &[TargetRef];

    /// Objects that it selects.
    fn target_selectors(&self) -> &[TargetSelector] {
        &[]
    }

    /// Whether it holds against narrower ones.
    fn is_enforced(&self) -> bool {
        false
    }

    /// Everything that it sets, by path.
    fn fields(&self) -> BTreeSet<String>;
}

impl Policy for TrafficPolicy {
    fn target_refs(&self) -> &[TargetRef] {
        &self.spec.target_refs
    }

    fn target_selectors(&self) -> &[TargetSelector] {
        &self.spec.target_selectors
    }

    fn is_enforced(&self) -> bool {
        self.spec.enforce == Some(true)
    }

    fn fields(&self) -> BTreeSet<String> {
        fields(&self.spec, &["authentication.external", "cors"])
    }
}

impl Policy for BackendPolicy {
    fn target_refs(&self) -> &[TargetRef] {
        &self.spec.target_refs
    }

    fn fields(&self) -> BTreeSet<String> {
        fields(&self.spec, &["health.active", "loadBalancer.affinity"])
    }
}

/// Where a policy acts: an object or a part of it. Selected is wider than named.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct Level {
    object: ObjectKey,
    section: Option<String>,
    named: bool,
}

impl Level {
    /// The levels of an object as a whole, the wider first.
    pub(crate) fn whole(object: &ObjectKey) -> [Self; 2] {
        [false, true].map(|named| Self { object: object.clone(), section: None, named })
    }

    /// The level of a part of an object.
    pub(crate) fn section(object: &ObjectKey, section: &str) -> Self {
        Self { object: object.clone(), section: Some(section.to_owned()), named: true }
    }
}

/// Policies of a kind by where they act; where several act on one place, the older first.
pub(crate) struct Targets<'a, P> {
    by_level: BTreeMap<Level, Vec<&'a P>>,
    verdicts: BTreeMap<ObjectKey, BTreeMap<ObjectKey, Verdict>>,
}

impl<'a, P: Policy> Targets<'a, P> {
    /// Finds what each policy acts on.
    pub(crate) fn new(index: &Index<'a>) -> Self {
        let mut targets = Self { by_level: BTreeMap::new(), verdicts: BTreeMap::new() };
        for policy in index.all::<P>() {
            for target in policy.target_refs() {
                let object = ObjectKey::new(&target.group, &target.kind, policy.namespace(), &target.name);
                let verdict = find(index, &object, target.section_name.as_deref());
                let level = Level { object, section: target.section_name.clone(), named: true };
                targets.add(policy, level, verdict);
            }
            for selector in policy.target_selectors() {
                for object in selected(index, selector, policy.namespace()) {
                    targets.add(policy, Level { object, section: None, named: false }, Verdict::Yes);
                }
            }
        }
        targets.settle();
        targets
    }

    /// The policies of these levels, which go from wide to narrow.
    pub(crate) fn at(&self, levels: impl IntoIterator<Item = Level>) -> Levels<'a, P> {
        if self.by_level.is_empty() {
            return Levels(Vec::new());
        }
        let policies = levels.into_iter().enumerate().flat_map(|(width, level)| {
            self.by_level.get(&level).into_iter().flatten().map(move |policy| (width, *policy))
        });
        Levels(policies.collect())
    }

    /// Whether there are no policies at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_level.is_empty()
    }

    /// What a policy says about each object that it names.
    pub(crate) fn verdicts(&self, policy: &ObjectKey) -> Vec<(ObjectKey, Verdict)> {
        let verdicts = self.verdicts.get(policy).into_iter().flatten();
        verdicts.map(|(object, verdict)| (object.clone(), verdict.clone())).collect()
    }

    fn add(&mut self, policy: &'a P, level: Level, verdict: Verdict) {
        self.verdict(policy, &level.object, verdict);
        self.by_level.entry(level).or_default().push(policy);
    }

    /// Adds to what a policy says about an object that it names.
    pub(crate) fn verdict(&mut self, policy: &P, object: &ObjectKey, verdict: Verdict) {
        let known = self.verdicts.entry(policy.key()).or_default().entry(object.clone()).or_default();
        *known = std::mem::take(known).and(verdict);
    }

    /// Sorts by age; of two policies of one place and rank that set one field the younger is told so.
    fn settle(&mut self) {
        let mut conflicts = Vec::new();
        for (level, policies) in &mut self.by_level {
            policies.sort_by_key(|policy| age(policy.metadata()));
            policies.dedup_by_key(|policy| policy.key());
            let mut taken = BTreeMap::<(bool, String), &P>::new();
            for policy in policies {
                let mut lost = Vec::new();
                for field in policy.fields() {
                    let rank = (policy.is_enforced(), field.clone());
                    match taken.get(&rank) {
                        Some(older) => lost.push(format!("{field} to {}", older.key())),
                        None => {
                            taken.insert(rank, policy);
                        }
                    }
                }
                if !lost.is_empty() {
                    let message = format!("Of its fields for {} it loses {}", level.object, lost.join(", "));
                    conflicts.push((*policy, level.object.clone(), Verdict::no("Conflicted", message)));
                }
            }
        }
        for (policy, object, verdict) in conflicts {
            self.verdict(policy, &object, verdict);
        }
    }
}

/// Policies that act on one thing, from wide to narrow.
pub(crate) struct Levels<'a, P>(Vec<(usize, &'a P)>);

/// What holds of a field, and whose word it is.
pub(crate) struct Picked<'a, P, T> {
    pub(crate) value: T,
    pub(crate) by: &'a P,
    /// It holds against what the object itself says, too.
    pub(crate) enforced: bool,
}

impl<'a, P: Policy> Levels<'a, P> {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, from wide to narrow.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a P> {
        self.0.iter().map(|(_, policy)| *policy)
    }

    /// What holds of a field: the widest enforced word, else the narrowest word; of one width the older.
    pub(crate) fn pick<T>(&self, field: impl Fn(&'a P) -> Option<T>) -> Option<Picked<'a, P, T>> {
        let mut narrowest: Option<(usize, Picked<'a, P, T>)> = None;
        for (width, policy) in &self.0 {
            let Some(value) = field(policy) else { continue };
            let picked = Picked { value, by: *policy, enforced: policy.is_enforced() };
            if picked.enforced {
                return Some(picked);
            }
            if narrowest.as_ref().is_none_or(|(known, _)| known < width) {
                narrowest = Some((*width, picked));
            }
        }
        narrowest.map(|(_, picked)| picked)
    }
}

/// Whether there is such an object, and such a part of it.
fn find(index: &Index<'_>, key: &ObjectKey, section: Option<&str>) -> Verdict {
    let Some(object) = index.inputs().objects.get(key) else {
        return Verdict::no("TargetNotFound", format!("{key} does not exist"));
    };
    match section {
        Some(section) if !has_section(object, section) => {
            Verdict::no("TargetNotFound", format!("{key} has nothing that is called {section}"))
        }
        _ => Verdict::Yes,
    }
}

fn has_section(object: &AnyObject, section: &str) -> bool {
    let is = |name: Option<&str>| name == Some(section);
    match object {
        AnyObject::Gateway(gateway) => gateway.spec.listeners.iter().any(|listener| is(Some(&listener.name))),
        AnyObject::ListenerSet(set) => set.spec.listeners.iter().any(|listener| is(Some(&listener.name))),
        AnyObject::HttpRoute(route) => route.spec.rules.iter().any(|rule| is(rule.name.as_deref())),
        AnyObject::GrpcRoute(route) => route.spec.rules.iter().any(|rule| is(rule.name.as_deref())),
        AnyObject::Service(service) => {
            let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            ports.any(|port| is(port.name.as_deref()))
        }
        _ => false,
    }
}

fn selected(index: &Index<'_>, selector: &TargetSelector, namespace: &str) -> Vec<ObjectKey> {
    let objects = index.inputs().objects.iter().filter(|(key, object)| {
        key.group == selector.group
            && key.kind == selector.kind
            && key.namespace == namespace
            && selector.matches(object.metadata().labels.as_ref())
    });
    objects.map(|(key, _)| key.clone()).collect()
}
