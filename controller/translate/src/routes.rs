//! What a route becomes on one listener.

mod fault;
pub(crate) mod filters;
mod grpc;
mod http;
mod l4;
mod matches;
mod precedence;
mod rules;
pub(crate) mod session;
mod site;
mod timeouts;

use std::sync::Arc;

use api::gateway_api::{
    Gateway, GatewayDefaultScope, GrpcRoute, HttpRoute, ObjectMeta, ParentReference, RouteStatus, TcpRoute,
    TlsRoute, UdpRoute,
};
use api::{Object, ObjectKey};
use model::{HostPattern, L4Rule, Match, Origin, Rule, SecretName};

use crate::backends::Wire;
use crate::context::Context;
use crate::mesh::GatewayMesh;
use crate::status::Verdict;

pub use fault::{Fault, Reason};
pub use precedence::Rank;
pub(crate) use rules::Own;
pub(crate) use site::Site;
pub(crate) use timeouts::DEFAULT_BACKOFF;

/// A route of any kind.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "each variant is the kind that it is named after")]
pub enum RouteObject<'a> {
    Http(&'a HttpRoute),
    Grpc(&'a GrpcRoute),
    Tls(&'a TlsRoute),
    Tcp(&'a TcpRoute),
    Udp(&'a UdpRoute),
}

impl<'a> RouteObject<'a> {
    /// Group, kind, namespace and name.
    pub fn key(self) -> ObjectKey {
        match self {
            Self::Http(route) => route.key(),
            Self::Grpc(route) => route.key(),
            Self::Tls(route) => route.key(),
            Self::Tcp(route) => route.key(),
            Self::Udp(route) => route.key(),
        }
    }

    /// Kind, as in YAML.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Http(_) => HttpRoute::KIND,
            Self::Grpc(_) => GrpcRoute::KIND,
            Self::Tls(_) => TlsRoute::KIND,
            Self::Tcp(_) => TcpRoute::KIND,
            Self::Udp(_) => UdpRoute::KIND,
        }
    }

    /// Standard metadata.
    pub fn metadata(self) -> &'a ObjectMeta {
        match self {
            Self::Http(route) => &route.metadata,
            Self::Grpc(route) => &route.metadata,
            Self::Tls(route) => &route.metadata,
            Self::Tcp(route) => &route.metadata,
            Self::Udp(route) => &route.metadata,
        }
    }

    /// `spec.parentRefs`.
    pub fn parent_refs(self) -> &'a [ParentReference] {
        match self {
            Self::Http(route) => &route.spec.parent_refs,
            Self::Grpc(route) => &route.spec.parent_refs,
            Self::Tls(route) => &route.spec.parent_refs,
            Self::Tcp(route) => &route.spec.parent_refs,
            Self::Udp(route) => &route.spec.parent_refs,
        }
    }

    /// `status`, as it was read.
    pub fn status(self) -> Option<&'a RouteStatus> {
        match self {
            Self::Http(route) => route.status.as_ref(),
            Self::Grpc(route) => route.status.as_ref(),
            Self::Tls(route) => route.status.as_ref(),
            Self::Tcp(route) => route.status.as_ref(),
            Self::Udp(route) => route.status.as_ref(),
        }
    }

    /// `spec.useDefaultGateways`.
    pub fn use_default_gateways(self) -> Option<GatewayDefaultScope> {
        match self {
            Self::Http(route) => route.spec.use_default_gateways,
            Self::Grpc(route) => route.spec.use_default_gateways,
            Self::Tls(route) => route.spec.use_default_gateways,
            Self::Tcp(route) => route.spec.use_default_gateways,
            Self::Udp(route) => route.spec.use_default_gateways,
        }
    }

    /// `spec.hostnames`; kinds that have none give none.
    pub fn hostnames(self) -> &'a [String] {
        match self {
            Self::Http(route) => &route.spec.hostnames,
            Self::Grpc(route) => &route.spec.hostnames,
            Self::Tls(route) => &route.spec.hostnames,
            Self::Tcp(_) | Self::Udp(_) => &[],
        }
    }
}

/// Where a route is compiled for: one listener.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The Gateway whose listener it is, or whose ListenerSet's.
    pub gateway: &'a Gateway,
    /// The Gateway or ListenerSet that wrote the listener.
    pub owner: &'a ObjectKey,
    /// The listener's name there.
    pub section: &'a str,
    /// The listener's port.
    pub port: u16,
    /// The listener's hostname.
    pub host: &'a HostPattern,
    /// TLS goes through the listener untouched (`tls.mode: Passthrough`).
    pub passthrough: bool,
    /// Whom the Gateway is to backends that ask (`spec.tls.backend.clientCertificateRef`).
    pub client_certificate: &'a ClientCertificate,
    /// Who it is in its mesh.
    pub(crate) mesh: &'a GatewayMesh,
}

/// Whom the Gateway is to backends that ask for a certificate (GEP-3155).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ClientCertificate {
    /// Nobody.
    #[default]
    None,
    /// The holder of this key pair.
    Use(SecretName),
    /// It could not be resolved: TLS to backends is closed rather than anonymous.
    Unresolved {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// What a route becomes on one listener.
#[derive(Clone, Debug, Default)]
pub struct RouteOutcome {
    /// The route's own host patterns that have something in common with the listener's hostname; any host if the
    /// route names none.
    pub hostnames: Vec<HostPattern>,
    /// HTTP and gRPC rules.
    pub rules: Vec<Rule>,
    /// Ways into the rules.
    pub entries: Vec<Entry>,
    /// The rule of a TLS, TCP or UDP route.
    pub l4: Option<L4Rule>,
    /// Condition `Accepted`, as far as the route itself decides.
    pub accepted: Verdict,
    /// Condition `ResolvedRefs`.
    pub resolved_refs: Verdict,
    /// Condition `PartiallyInvalid` is true, with this message.
    pub partially_invalid: Option<String>,
}

/// One way into a rule of a [`RouteOutcome`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// What must hold.
    pub when: Match,
    /// Index into [`RouteOutcome::rules`].
    pub rule: usize,
    /// Precedence within one host pattern; the smaller goes first.
    pub rank: Rank,
}

/// The origin that an object is.
pub fn origin(key: &ObjectKey) -> Origin {
    Origin::new(&*key.kind, &*key.namespace, &*key.name)
}

/// Compiles a route for one listener that it is attached to.
pub fn compile(route: RouteObject<'_>, scope: &Scope<'_>, context: &mut Context<'_>) -> RouteOutcome {
    let key = route.key();
    let mut site = Site::new(&key, scope, context);
    let hostnames = hostnames(route, scope, &mut site);
    let mut outcome = match route {
        RouteObject::Http(route) => http::compile(route, &mut site),
        RouteObject::Grpc(route) => grpc::compile(route, &mut site),
        RouteObject::Tls(route) if scope.passthrough => {
            l4::compile(&route.spec.rules, Wire::Passthrough, &mut site)
        }
        RouteObject::Tls(route) => l4::compile(&route.spec.rules, Wire::Tcp, &mut site),
        RouteObject::Tcp(route) => l4::compile(&route.spec.rules, Wire::Tcp, &mut site),
        RouteObject::Udp(route) => l4::compile(&route.spec.rules, Wire::Udp, &mut site),
    };
    outcome.hostnames = hostnames;
    outcome.resolved_refs = site.resolved_refs();
    outcome
}

/// Says which fields of a route are not served, wherever it is attached.
pub(crate) fn refuse_unserved(route: RouteObject<'_>, context: &mut Context<'_>) {
    if route.use_default_gateways().is_some_and(|scope| scope != GatewayDefaultScope::None) {
        let fault = Fault::unsupported("spec.useDefaultGateways", "no Gateway is a default");
        let fault = fault.mend("name the Gateways in spec.parentRefs");
        context.problems.push(fault.problem(&route.key(), ""));
    }
}

/// Precedence goes by the route's own host patterns, not by what they have in common with the listener's
/// (GatewayRouteHostnameIntersectionPrecedence).
fn hostnames(route: RouteObject<'_>, scope: &Scope<'_>, site: &mut Site<'_, '_>) -> Vec<HostPattern> {
    if route.hostnames().is_empty() {
        return vec![HostPattern::Any];
    }
    let mut patterns = Vec::new();
    for (index, text) in route.hostnames().iter().enumerate() {
        match text.parse::<HostPattern>() {
            Ok(pattern) => {
                if pattern.intersect(scope.host).is_some() && !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
            }
            Err(error) => {
                site.report(&Fault::unsupported(format!("spec.hostnames[{index}]"), error), "Accepted")
            }
        }
    }
    patterns
}
