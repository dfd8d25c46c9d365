//! The steps of an explanation, as values to print or to send as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use model::{
    Action, Address, BackendName, BackendProtocol, Filter, HostPattern, ListenerName, Match, Origin, Reach,
    Redirect, Retry, Rule, SessionPersistence, Timeouts, UpstreamTls, WeightedBackend,
};
use serde::Serialize;

use super::{Miss, Question};
use crate::compiled::{
    CompiledAction, CompiledBackendRef, CompiledL4, CompiledListener, CompiledServer, CompiledTarget, Facts,
    Routed, WeightedPick,
};
use crate::upstream::BackendHandle;
use crate::upstream::clock::Moment;

/// From a listener to an outcome. Steps that were not reached are absent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerStep>,
    /// The request as it was matched.
    pub request: RequestStep,
    /// The Gateway API listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStep>,
    /// The match and the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStep>,
    /// What becomes of the request.
    pub outcome: Outcome,
}

/// The socket.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStep {
    /// Its name in the snapshot.
    pub name: ListenerName,
    /// The Gateway that owns it.
    pub gateway: Origin,
    /// The port.
    pub port: u16,
    /// Field of the connection policy → the object that set it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_by: BTreeMap<Arc<str>, Origin>,
}

/// The request as it was matched: host and path are canonical once they could be made so.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestStep {
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// The query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The TLS server name; empty if there is TLS but no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}

/// The Gateway API listener.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStep {
    /// The Gateway or ListenerSet that wrote it.
    pub owner: Origin,
    /// Its name there.
    pub section: Arc<str>,
}

/// The match and the rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStep {
    /// The host pattern whose matches were looked through.
    pub host: HostPattern,
    /// The match's place among them, from 0.
    pub order: u32,
    /// The conditions that held.
    pub when: Match,
    /// The route that wrote the rule.
    pub origin: Origin,
    /// The rule's place in it, from 0.
    pub rule: usize,
    /// The rule's name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Filters, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Field → the object that set it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_by: BTreeMap<Arc<str>, Origin>,
}

/// What becomes of the request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is sent to one of these.
    Forward {
        /// Backends with their weights.
        backends: Vec<BackendStep>,
        /// Time limits.
        timeouts: Timeouts,
        /// Retries.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<Retry>,
        /// Session persistence.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionPersistence>,
    },
    /// The connection is sent on as bytes.
    Opaque {
        /// The route that wrote the rule.
        origin: Origin,
        /// Backends with their weights.
        backends: Vec<BackendStep>,
    },
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// It is answered by the rule.
    Respond {
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
    },
    /// It goes nowhere.
    Refused {
        /// HTTP status; none: the connection is refused or closed.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Why.
        reason: String,
        /// Matches that came nearest, the nearest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        nearest: Vec<Miss>,
    },
}

/// One of the backends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendStep {
    /// A live one.
    Backend {
        /// Share, relative to the sum.
        weight: u32,
        /// Its name in the snapshot.
        name: BackendName,
        /// The Service or XBackend.
        origin: Origin,
        /// What its endpoints speak.
        protocol: BackendProtocol,
        /// `plain`, `tls to NAME`, or `closed: REASON`.
        tls: String,
        /// Filters for this backend alone.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        filters: Vec<Filter>,
        /// Where it is.
        endpoints: Vec<EndpointStep>,
        /// Field → the object that set it.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        set_by: BTreeMap<Arc<str>, Origin>,
    },
    /// One that could not be resolved: its share of the requests gets `status`.
    Invalid {
        /// Share, relative to the sum.
        weight: u32,
        /// Why.
        reason: Arc<str>,
        /// HTTP status.
        status: u16,
    },
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStep {
    /// Where.
    pub address: Address,
    /// Port.
    pub port: u16,
    /// How it is reached, if not as the backend says.
    #[serde(skip_serializing_if = "is_as_backend")]
    pub reach: Reach,
    /// Its zone; empty if unknown.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub zone: Arc<str>,
    /// Whether it may be picked now.
    pub fit: bool,
    /// Picked only if nothing better is left.
    pub draining: bool,
    /// Requests or connections now.
    pub in_flight: u32,
}

impl Explanation {
    pub(super) fn refuse(mut self, status: Option<StatusCode>, reason: String) -> Self {
        self.outcome = Outcome::refused(status, reason);
        self
    }
}

impl ListenerStep {
    pub(super) fn new(listener: &CompiledListener) -> Self {
        Self {
            name: listener.name.clone(),
            gateway: listener.gateway.clone(),
            port: listener.port,
            set_by: listener.connection.set_by.clone(),
        }
    }
}

impl RequestStep {
    /// As it was asked; host and path follow when they are canonical.
    pub(super) fn raw(question: &Question) -> Self {
        Self {
            method: question.method.to_string(),
            host: question.authority().to_owned(),
            path: question.url.path().to_owned(),
            query: question.url.query().map(ToOwned::to_owned),
            sni: None,
        }
    }
}

impl ServerStep {
    pub(super) fn new(server: &CompiledServer) -> Self {
        Self { owner: server.owner.clone(), section: server.section.clone() }
    }
}

impl RouteStep {
    /// The match that `routed` came by, and the rule as the snapshot has it.
    pub(super) fn find<'c>(
        server: &'c CompiledServer,
        facts: &Facts<'_>,
        routed: &Routed<'_>,
    ) -> Option<(Self, &'c Rule)> {
        let table = &server.routes;
        let mut hosts = table.source.hosts.iter().filter(|(host, _)| host.matches(facts.host));
        let (host, matches) = hosts
            .find(|(host, _)| table.hosts.get(host).is_some_and(|routes| routes.route(facts).is_some()))?;
        let route_match = matches.get(routed.order as usize)?;
        let rule = table.source.rules.get(route_match.rule)?;
        let step = Self {
            host: host.clone(),
            order: routed.order,
            when: route_match.when.clone(),
            origin: rule.origin.clone(),
            rule: rule.index,
            name: rule.name.clone(),
            filters: rule.filters.clone(),
            set_by: rule.set_by.clone(),
        };
        Some((step, rule))
    }
}

impl Outcome {
    pub(super) fn refused(status: Option<StatusCode>, reason: String) -> Self {
        Self::Refused { status: status.map(|status| status.as_u16()), reason, nearest: Vec::new() }
    }

    pub(super) fn opaque(rule: &CompiledL4) -> Self {
        Self::Opaque { origin: rule.origin.clone(), backends: backends(&rule.targets, &[]) }
    }

    pub(super) fn of(server: &CompiledServer, rule: &Rule, routed: &Routed<'_>) -> Self {
        let written = match &rule.action {
            Action::Forward(forward) => forward.backends.as_slice(),
            Action::Redirect(_) | Action::Respond { .. } => &[],
        };
        match &routed.rule.action {
            CompiledAction::Forward(forward) => Self::Forward {
                backends: backends(&forward.backends, written),
                timeouts: forward.timeouts.clone(),
                retry: forward.retry.clone(),
                session: forward.session.clone(),
            },
            CompiledAction::Redirect(redirect) => Self::Redirect(Redirect {
                scheme: redirect.scheme.clone(),
                host: redirect.host.clone(),
                port: redirect.port.or(redirect.scheme.is_none().then_some(server.port)),
                path: redirect.path.clone(),
                status: redirect.status.as_u16(),
            }),
            CompiledAction::Respond { status, body } => {
                Self::Respond { status: status.as_u16(), body: String::from_utf8_lossy(body).into_owned() }
            }
        }
    }
}

/// `written` are the same backends as the snapshot has them, in the same order; they know the filters as text.
fn backends(targets: &WeightedPick<CompiledTarget>, written: &[WeightedBackend]) -> Vec<BackendStep> {
    let mut written = written.iter();
    targets
        .iter()
        .map(|(weight, target)| {
            let filters = written.next().map(|weighted| weighted.filters.clone()).unwrap_or_default();
            BackendStep::new(weight, target, filters)
        })
        .collect()
}

impl BackendStep {
    fn new(weight: u32, target: &CompiledTarget, filters: Vec<Filter>) -> Self {
        match &target.backend {
            CompiledBackendRef::Invalid { reason, status } => {
                Self::Invalid { weight, reason: reason.clone(), status: status.as_u16() }
            }
            CompiledBackendRef::Backend(handle) => Self::Backend {
                weight,
                name: handle.name.clone(),
                origin: handle.spec.origin.clone(),
                protocol: handle.spec.protocol,
                tls: match &handle.spec.tls {
                    UpstreamTls::Plain => "plain".to_owned(),
                    UpstreamTls::Tls(tls) => format!("tls to {}", tls.server_name),
                    UpstreamTls::Closed { reason } => format!("closed: {reason}"),
                },
                filters,
                endpoints: endpoints(handle),
                set_by: handle.spec.set_by.clone(),
            },
        }
    }
}

fn is_as_backend(reach: &Reach) -> bool {
    *reach == Reach::AsBackend
}

fn endpoints(handle: &BackendHandle) -> Vec<EndpointStep> {
    let now = Moment::now();
    let members = handle.members();
    let steps = members.iter().map(|member| EndpointStep {
        address: member.endpoint.address.clone(),
        port: member.endpoint.port,
        reach: member.endpoint.reach.clone(),
        zone: member.endpoint.zone.clone(),
        fit: member.state.fit(now),
        draining: member.endpoint.draining,
        in_flight: member.state.in_flight(),
    });
    steps.collect()
}
