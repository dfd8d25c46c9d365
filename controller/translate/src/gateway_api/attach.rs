//! Attachment: which listeners a route's parentRefs choose, and what the route says about it.

use std::collections::BTreeMap;

use api::gateway_api::{
    Condition, GROUP, Gateway, GrpcRoute, HttpRoute, ListenerSet, ParentReference, RouteParentStatus,
    RouteStatus, TcpRoute, TlsRoute, UdpRoute,
};
use api::{Object, ObjectKey};
use model::HostPattern;

use super::gateway::GatewayState;
use super::listener::{AttachedRoute, ListenerProtocol, ListenerState};
use crate::context::Context;
use crate::output::Status;
use crate::problem::Problem;
use crate::routes::{self, RouteObject, RouteOutcome, Scope};
use crate::status::{TRUE, Verdict, condition};

/// Attaches every route to the listeners that its parentRefs choose; its status is noted.
pub(super) fn attach<'a>(gateways: &mut [GatewayState<'a>], context: &mut Context<'a>) {
    let parents = Parents::new(gateways);
    for route in all(context) {
        routes::refuse_unserved(route, context);
        let mut attachment = Attachment { route, parents: &parents, compiled: BTreeMap::new() };
        let statuses: Vec<_> = (route.parent_refs().iter().enumerate())
            .filter_map(|(position, reference)| attachment.parent(position, reference, gateways, context))
            .collect();
        for ((gateway, listener), outcome) in attachment.compiled {
            let state = gateways.get_mut(gateway).and_then(|state| state.listeners.get_mut(listener));
            if let (Some(state), true) = (state, outcome.accepted.is_yes()) {
                state.attached += 1;
                let created = route.metadata().creation_timestamp.clone();
                state.routes.push(AttachedRoute { created, key: route.key(), outcome });
            }
        }
        if !statuses.is_empty() || was_ours(route, context) {
            context.statuses.insert(route.key(), Status::Route(RouteStatus { parents: statuses }));
        }
    }
}

/// Every route, by kind, namespace and name.
fn all<'a>(context: &Context<'a>) -> Vec<RouteObject<'a>> {
    let index = context.index;
    let http = index.all::<HttpRoute>().map(RouteObject::Http);
    let grpc = index.all::<GrpcRoute>().map(RouteObject::Grpc);
    let tls = index.all::<TlsRoute>().map(RouteObject::Tls);
    let tcp = index.all::<TcpRoute>().map(RouteObject::Tcp);
    let udp = index.all::<UdpRoute>().map(RouteObject::Udp);
    http.chain(grpc).chain(tls).chain(tcp).chain(udp).collect()
}

/// Whether status has an entry of ours, which is to go if no parent is ours any more.
fn was_ours(route: RouteObject<'_>, context: &Context<'_>) -> bool {
    let ours = &context.index.inputs().controller_name;
    route.status().is_some_and(|status| status.parents.iter().any(|parent| parent.controller_name == *ours))
}

/// Which Gateway stands for a Gateway or ListenerSet that routes name.
struct Parents(BTreeMap<ObjectKey, usize>);

impl Parents {
    fn new(gateways: &[GatewayState<'_>]) -> Self {
        let mut parents = BTreeMap::new();
        for (position, state) in gateways.iter().enumerate() {
            parents.insert(state.key.clone(), position);
            parents.extend(state.sets.iter().map(|set| (set.key.clone(), position)));
        }
        Self(parents)
    }
}

/// One route on its way to its parents.
struct Attachment<'a, 'p> {
    route: RouteObject<'a>,
    parents: &'p Parents,
    /// What the route became on each listener: (Gateway, listener).
    compiled: BTreeMap<(usize, usize), RouteOutcome>,
}

impl<'a> Attachment<'a, '_> {
    /// Follows one parentRef. None if the parent is not ours.
    fn parent(
        &mut self,
        position: usize,
        reference: &ParentReference,
        gateways: &[GatewayState<'a>],
        context: &mut Context<'a>,
    ) -> Option<RouteParentStatus> {
        let key = self.route.key();
        let namespace = reference.namespace.as_deref().unwrap_or(&key.namespace);
        let parent = ObjectKey::new(&reference.group, &reference.kind, namespace, &reference.name);
        let field = format!("spec.parentRefs[{position}]");
        let Some(&gateway) = self.parents.0.get(&parent) else {
            warn_of_missing(&key, &parent, field, context);
            return None;
        };
        let state = gateways.get(gateway)?;
        let (mut accepted, listeners) = match self.choose(reference, &parent, state, context) {
            Ok(listeners) => (Verdict::Yes, listeners),
            Err((reason, message, mend)) => {
                let mut accepted = Verdict::Yes;
                let problem = Problem::error(&key, field, ("Accepted", reason), message, mend);
                accepted.report(problem, &mut context.problems);
                (accepted, Vec::new())
            }
        };
        let mut resolved = Verdict::Yes;
        let mut invalid = None;
        for &listener in &listeners {
            let Some(target) = state.listeners.get(listener) else { continue };
            let outcome = self
                .compiled
                .entry((gateway, listener))
                .or_insert_with(|| routes::compile(self.route, &scope(state, target), context));
            accepted = accepted.and(outcome.accepted.clone());
            resolved = resolved.and(outcome.resolved_refs.clone());
            invalid = invalid.or_else(|| outcome.partially_invalid.clone());
        }
        if listeners.is_empty() {
            resolved = self.resolve_only(state, context);
        }
        Some(RouteParentStatus {
            parent_ref: reference.clone(),
            controller_name: context.index.inputs().controller_name.clone(),
            conditions: conditions(self.route.metadata().generation, &accepted, &resolved, invalid),
        })
    }

    /// The listeners that a parentRef chooses; if none, why and what to do.
    fn choose(
        &self,
        reference: &ParentReference,
        parent: &ObjectKey,
        state: &GatewayState<'a>,
        context: &Context<'a>,
    ) -> Result<Vec<usize>, (&'static str, String, String)> {
        let kind = self.route.kind();
        let namespace = self.route.metadata().namespace.as_deref().unwrap_or_default();
        let own = state.listeners.iter().enumerate().filter(|(_, listener)| listener.owner == *parent);
        let named: Vec<_> = own.filter(|(_, listener)| is_named(reference, listener)).collect();
        if named.is_empty() {
            let (message, mend) = no_listener(reference, parent, state);
            return Err(("NoMatchingParent", message, mend));
        }
        let allowing: Vec<_> = named
            .into_iter()
            .filter(|(_, listener)| listener.takes_kind(kind) && listener.takes_namespace(namespace, context))
            .collect();
        if allowing.is_empty() {
            let message = format!("no listener of {parent} takes {kind}s of namespace {namespace}");
            return Err((
                "NotAllowedByListeners",
                message,
                "its allowedRoutes and protocol must allow it".into(),
            ));
        }
        let matching: Vec<usize> = allowing
            .into_iter()
            .filter(|(_, listener)| shares_host(self.route.hostnames(), &listener.host))
            .map(|(position, _)| position)
            .collect();
        if matching.is_empty() {
            let message = format!("no listener of {parent} has a hostname in common with the route");
            return Err((
                "NoMatchingListenerHostname",
                message,
                "change spec.hostnames or the listener".into(),
            ));
        }
        Ok(matching)
    }

    /// A route that is attached nowhere says nevertheless whether its references resolve. Nothing else that its
    /// compilation would note comes true.
    fn resolve_only(&self, state: &GatewayState<'a>, context: &mut Context<'a>) -> Verdict {
        let scope = Scope {
            gateway: state.gateway,
            owner: &state.key,
            section: "",
            port: 0,
            host: &HostPattern::Any,
            passthrough: false,
            client_certificate: &state.client_certificate,
            mesh: &state.mesh,
        };
        let ancestors = std::mem::take(&mut context.ancestors);
        let resolved = routes::compile(self.route, &scope, context).resolved_refs;
        context.ancestors = ancestors;
        resolved
    }
}

fn scope<'s>(state: &'s GatewayState<'_>, listener: &'s ListenerState<'_>) -> Scope<'s> {
    Scope {
        gateway: state.gateway,
        owner: &listener.owner,
        section: &listener.spec.name,
        port: listener.spec.port,
        host: &listener.host,
        passthrough: listener.protocol == Some(ListenerProtocol::TlsPassthrough),
        client_certificate: &state.client_certificate,
        mesh: &state.mesh,
    }
}

fn is_named(reference: &ParentReference, listener: &ListenerState<'_>) -> bool {
    reference.section_name.as_ref().is_none_or(|name| name.is_empty() || *name == listener.spec.name)
        && reference.port.is_none_or(|port| port == listener.spec.port)
}

fn no_listener(
    reference: &ParentReference,
    parent: &ObjectKey,
    state: &GatewayState<'_>,
) -> (String, String) {
    if let Some(set) = state.sets.iter().find(|set| set.key == *parent && !set.allowed.is_yes()) {
        return (
            format!("{} is not attached to {}", set.key, state.key),
            "its Gateway must allow it".to_owned(),
        );
    }
    let section = reference.section_name.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
    let port = reference.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    (
        format!("{parent} has no listener{section}{port}"),
        "change sectionName or port, or add the listener".to_owned(),
    )
}

/// Whether a route and a listener have a host in common. A name that is none matches nothing.
fn shares_host(hostnames: &[String], host: &HostPattern) -> bool {
    hostnames.is_empty()
        || hostnames
            .iter()
            .any(|name| name.parse::<HostPattern>().is_ok_and(|own| own.intersect(host).is_some()))
}

/// A parent that exists but is not ours belongs to another controller; one that does not exist is a mistake.
fn warn_of_missing(route: &ObjectKey, parent: &ObjectKey, field: String, context: &mut Context<'_>) {
    let kinds = [Gateway::KIND, ListenerSet::KIND];
    let is_ours = parent.group == GROUP && kinds.contains(&parent.kind.as_str());
    if is_ours && !context.index.inputs().objects.contains_key(parent) {
        let message = format!("{parent} does not exist");
        context.problems.push(Problem::warning(route, field, message, "create it or name another"));
    }
}

fn conditions(
    generation: Option<i64>,
    accepted: &Verdict,
    resolved: &Verdict,
    invalid: Option<String>,
) -> Vec<Condition> {
    let mut conditions = vec![
        accepted.condition("Accepted", generation, ("Accepted", "The route is attached")),
        resolved.condition("ResolvedRefs", generation, ("ResolvedRefs", "Every reference resolves")),
    ];
    if let (Some(message), true) = (invalid, accepted.is_yes()) {
        conditions.push(condition("PartiallyInvalid", TRUE, "UnsupportedValue", message, generation));
    }
    conditions
}
