//! What Gateways, ListenerSets and policies say about themselves.

use api::gateway_api::{
    BackendTlsPolicy, Condition, GatewayStatus, ListenerSetStatus, ListenerStatus, PolicyAncestorStatus,
    PolicyStatus, XBackend, XBackendTrafficPolicy,
};
use api::{Object, ObjectKey};
use model::ClientAuth;

use super::gateway::GatewayState;
use super::listener::{ListenerState, ListenerTls};
use super::listener_set::SetState;
use crate::context::Context;
use crate::output::Status;
use crate::status::{FALSE, TRUE, UNKNOWN, Verdict, condition};

/// Notes the status of a Gateway and of its ListenerSets.
pub(super) fn gateway(state: &GatewayState<'_>, context: &mut Context<'_>) {
    let generation = state.gateway.metadata.generation;
    let mut attached_sets = 0;
    for set in &state.sets {
        let (accepted, status) = listener_set(state, set);
        attached_sets += i32::from(accepted);
        context.statuses.insert(set.key.clone(), Status::ListenerSet(status));
    }
    let usable = programmable(state);
    let mut conditions = vec![
        accepted(state, generation),
        programmed(&usable, generation),
        resolved(state).condition("ResolvedRefs", generation, ("ResolvedRefs", "Every reference resolves")),
        state.addresses.assigned.condition(
            "AddressesAssigned",
            generation,
            ("AddressesAssigned", "Every address that was asked for is assigned"),
        ),
    ];
    if state.insecure {
        conditions.push(condition(
            "InsecureFrontendValidationMode",
            TRUE,
            "ConfigurationChanged",
            "Clients without a valid certificate are let in where spec.tls.frontend says AllowInsecureFallback",
            generation,
        ));
    }
    let own = state.listeners.iter().filter(|listener| listener.owner == state.key);
    let status = GatewayStatus {
        addresses: state.addresses.reported.clone(),
        attached_listener_sets: Some(attached_sets),
        conditions,
        listeners: own.map(|own| listener(own, &usable_parent(state), generation)).collect(),
    };
    context.statuses.insert(state.key.clone(), Status::Gateway(status));
}

/// Condition `Accepted` of a Gateway: true if it is sound itself and at least one listener is accepted.
fn accepted(state: &GatewayState<'_>, generation: Option<i64>) -> Condition {
    if let Some((reason, message)) = state.accepted.failure() {
        return condition("Accepted", FALSE, reason, message, generation);
    }
    let is_bad = |listener: &&ListenerState<'_>| !listener.accepted.is_yes() || listener.conflict.is_some();
    let bad: Vec<_> = state.listeners.iter().filter(is_bad).collect();
    let own_bad: Vec<_> = (bad.iter())
        .filter(|listener| listener.owner == state.key)
        .map(|listener| listener.spec.name.as_str())
        .collect();
    if bad.len() == state.listeners.len() {
        let message = "No listener is valid";
        return condition("Accepted", FALSE, "ListenersNotValid", message, generation);
    }
    if !own_bad.is_empty() {
        let message = format!("Listeners that are not valid: {}", own_bad.join(", "));
        return condition("Accepted", TRUE, "ListenersNotValid", message, generation);
    }
    condition("Accepted", TRUE, "Accepted", "The Gateway is valid", generation)
}

/// Condition `ResolvedRefs` of a Gateway: its own references, then a summary of its listeners'.
fn resolved(state: &GatewayState<'_>) -> Verdict {
    let mut resolved = state.resolved.clone();
    let own = state.listeners.iter().filter(|listener| listener.owner == state.key);
    let bad: Vec<_> = own
        .filter(|listener| !listener.resolved.is_yes())
        .map(|listener| listener.spec.name.as_str())
        .collect();
    if !bad.is_empty() {
        let message = format!("Listeners with references that do not resolve: {}", bad.join(", "));
        resolved.fail("ListenersNotResolved", message);
    }
    resolved
}

/// Whether the Gateway gives its listeners a socket.
fn usable_parent(state: &GatewayState<'_>) -> Verdict {
    if !state.accepted.is_yes() {
        Verdict::no("Invalid", "The Gateway is not accepted")
    } else if state.addresses.withheld {
        Verdict::no("Invalid", "The Gateway has no address")
    } else {
        Verdict::Yes
    }
}

/// Whether proxies are asked to serve the Gateway with all that it asks for.
fn programmable(state: &GatewayState<'_>) -> Verdict {
    let mut verdict = Verdict::Yes;
    if !state.accepted.is_yes() {
        verdict.fail("Invalid", "The Gateway is not accepted");
    }
    if !state.listeners.iter().any(ListenerState::is_usable) {
        verdict.fail("Invalid", "No listener can be served");
    }
    verdict.and(state.addresses.usable.clone())
}

/// Condition `Programmed`: no with a reason, or unknown until the proxies have acknowledged.
fn programmed(asked: &Verdict, generation: Option<i64>) -> Condition {
    match asked.failure() {
        Some((reason, message)) => condition("Programmed", FALSE, reason, message, generation),
        None => condition("Programmed", UNKNOWN, "Pending", "Waiting for the proxies", generation),
    }
}

fn listener(state: &ListenerState<'_>, parent: &Verdict, generation: Option<i64>) -> ListenerStatus {
    let mut accepted = Verdict::Yes;
    let conflicted = match &state.conflict {
        Some(conflict) => {
            accepted.fail(conflict.reason, &conflict.message);
            condition("Conflicted", TRUE, conflict.reason, &conflict.message, generation)
        }
        None => condition("Conflicted", FALSE, "NoConflicts", "No other listener is in the way", generation),
    };
    let accepted = accepted.and(state.accepted.clone());
    let mut asked = match (&state.conflict, accepted.failure()) {
        (Some(conflict), _) => Verdict::no(conflict.reason, &conflict.message),
        (None, Some((_, message))) => Verdict::no("Invalid", message),
        (None, None) => parent.clone(),
    };
    if let ListenerTls::Closed(reason) = &state.tls {
        asked.fail("Invalid", &**reason);
    }
    if let ClientAuth::Closed { reason } = &state.client_auth {
        asked.fail("Invalid", &**reason);
    }
    ListenerStatus {
        name: state.spec.name.clone(),
        supported_kinds: state.kinds.clone(),
        attached_routes: i32::try_from(state.attached).unwrap_or(i32::MAX),
        conditions: vec![
            accepted.condition("Accepted", generation, ("Accepted", "The listener is valid")),
            conflicted,
            programmed(&asked, generation),
            state.resolved.condition(
                "ResolvedRefs",
                generation,
                ("ResolvedRefs", "Every reference resolves"),
            ),
        ],
    }
}

/// The status of a ListenerSet, and whether it counts as attached.
fn listener_set(state: &GatewayState<'_>, set: &SetState<'_>) -> (bool, ListenerSetStatus) {
    let generation = set.set.metadata.generation;
    let own = || state.listeners.iter().filter(|listener| listener.owner == set.key);
    let mut verdict = set.allowed.clone();
    if !state.accepted.is_yes() {
        verdict.fail("ParentNotAccepted", format!("{} is not accepted", state.key));
    }
    if !own().any(ListenerState::is_usable) {
        verdict.fail("ListenersNotValid", "No listener is valid");
    }
    let bad: Vec<_> =
        own().filter(|listener| !listener.is_usable()).map(|listener| listener.spec.name.as_str()).collect();
    let accepted = match verdict.failure() {
        Some((reason, message)) => condition("Accepted", FALSE, reason, message, generation),
        None if bad.is_empty() => {
            condition("Accepted", TRUE, "Accepted", "The ListenerSet is valid", generation)
        }
        None => {
            let message = format!("Listeners that are not valid: {}", bad.join(", "));
            condition("Accepted", TRUE, "ListenersNotValid", message, generation)
        }
    };
    let mut asked = verdict.clone();
    if state.addresses.none {
        asked.fail("ParentNotProgrammed", format!("{} has no address", state.key));
    }
    let status = ListenerSetStatus {
        conditions: vec![accepted, programmed(&asked, generation)],
        listeners: own().map(|own| listener(own, &usable_parent(state), generation)).collect(),
    };
    (verdict.is_yes(), status)
}

/// Notes what policies and XBackends say about the objects that they act on or are used by.
pub(super) fn policies(context: &mut Context<'_>) {
    let ours = &context.index.inputs().controller_name;
    for policy in left_over(context) {
        context.statuses.insert(policy, Status::Policy(PolicyStatus::default()));
    }
    for (policy, ancestors) in std::mem::take(&mut context.ancestors).into_inner() {
        let ancestors = ancestors.into_values().map(|(ancestor_ref, conditions)| PolicyAncestorStatus {
            ancestor_ref,
            controller_name: ours.clone(),
            conditions,
        });
        // The API: at most 16 ancestors fit.
        let status = PolicyStatus { ancestors: ancestors.take(MAX_ANCESTORS).collect() };
        context.statuses.insert(policy, Status::Policy(status));
    }
}

/// Objects whose status has an entry of ours, which is to go unless something is said again.
fn left_over(context: &Context<'_>) -> Vec<ObjectKey> {
    let index = context.index;
    let ours = &index.inputs().controller_name;
    let has_ours = |status: &Option<PolicyStatus>| {
        status.iter().flat_map(|status| &status.ancestors).any(|ancestor| ancestor.controller_name == *ours)
    };
    let tls = index.all::<BackendTlsPolicy>().filter(|policy| has_ours(&policy.status)).map(Object::key);
    let traffic =
        index.all::<XBackendTrafficPolicy>().filter(|policy| has_ours(&policy.status)).map(Object::key);
    let backends = index.all::<XBackend>().filter(|backend| has_ours(&backend.status)).map(Object::key);
    tls.chain(traffic).chain(backends).collect()
}

/// GEP-713: `status.ancestors` holds so many.
const MAX_ANCESTORS: usize = 16;
