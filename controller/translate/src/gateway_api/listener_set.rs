//! ListenerSets: whether a Gateway takes them, and their listeners in its merged list (GEP-1713).

use std::collections::BTreeMap;

use api::gateway_api::{GROUP, Gateway, ListenerSet, ListenersFrom};
use api::{Object, ObjectKey};

use super::gateway::GatewayState;
use super::listener::ListenerState;
use crate::context::Context;
use crate::problem::Problem;
use crate::status::Verdict;

/// A ListenerSet that names one of our Gateways.
pub(super) struct SetState<'a> {
    /// The ListenerSet.
    pub(super) set: &'a ListenerSet,
    /// Its key.
    pub(super) key: ObjectKey,
    /// Whether the Gateway takes it; its listeners are in the merged list only then.
    pub(super) allowed: Verdict,
}

/// ListenerSets by the Gateway that they name, in order of precedence: by age, then by name.
pub(super) fn by_gateway<'a>(context: &mut Context<'a>) -> BTreeMap<ObjectKey, Vec<&'a ListenerSet>> {
    let mut by_gateway = BTreeMap::<_, Vec<_>>::new();
    let mut sets: Vec<_> = context.index.all::<ListenerSet>().collect();
    sets.sort_by_key(|set| set.metadata.creation_timestamp.clone());
    for set in sets {
        let parent = &set.spec.parent_ref;
        if parent.group != GROUP || parent.kind != Gateway::KIND {
            continue;
        }
        let namespace = parent.namespace.as_deref().unwrap_or(set.namespace());
        if context.index.find::<Gateway>(namespace, &parent.name).is_none() {
            context.problems.push(Problem::warning(
                &set.key(),
                "spec.parentRef",
                format!("Gateway {namespace}/{} does not exist", parent.name),
                "create it or name another",
            ));
        }
        by_gateway.entry(ObjectKey::of::<Gateway>(namespace, &parent.name)).or_default().push(set);
    }
    by_gateway
}

/// Adds a ListenerSet to the Gateway that it names.
pub(super) fn merge<'a>(state: &mut GatewayState<'a>, set: &'a ListenerSet, context: &mut Context<'a>) {
    let key = set.key();
    let mut allowed = Verdict::Yes;
    if !allows(state.gateway, set, context) {
        let problem = Problem::error(
            &key,
            "spec.parentRef",
            ("Accepted", "NotAllowed"),
            format!("{} takes no ListenerSets of namespace {}", state.key, key.namespace),
            "its spec.allowedListeners must allow them",
        );
        allowed.report(problem, &mut context.problems);
    } else {
        for (position, listener) in set.spec.listeners.iter().enumerate() {
            state.listeners.push(ListenerState::new(&key, position, listener, context));
        }
    }
    state.sets.push(SetState { set, key, allowed });
}

fn allows(gateway: &Gateway, set: &ListenerSet, context: &Context<'_>) -> bool {
    let Some(allowed) = &gateway.spec.allowed_listeners else { return false };
    match allowed.namespaces.from {
        ListenersFrom::None => false,
        ListenersFrom::All => true,
        ListenersFrom::Same => set.namespace() == gateway.namespace(),
        ListenersFrom::Selector => {
            let selector = allowed.namespaces.selector.as_ref();
            selector.is_some_and(|selector| context.index.selects_namespace(selector, set.namespace()))
        }
    }
}
