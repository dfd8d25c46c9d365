//! One listener of a Gateway or ListenerSet: protocol, hostname, kinds of routes, certificates.

use std::sync::Arc;

use api::gateway_api::{
    GROUP, GrpcRoute, HttpRoute, Listener, RouteGroupKind, RoutesFrom, TcpRoute, TlsMode, TlsRoute, UdpRoute,
};
use api::{Object, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use model::{ClientAuth, Filter, HostPattern, IdentityName, Origin, SecretName, TlsVersion};

use super::conflict::Conflict;
use crate::context::Context;
use crate::grants::Referrer;
use crate::problem::Problem;
use crate::routes::RouteOutcome;
use crate::status::Verdict;

/// A listener and what became of it.
pub(super) struct ListenerState<'a> {
    /// The Gateway or ListenerSet that wrote it.
    pub(super) owner: ObjectKey,
    /// What they wrote.
    pub(super) spec: &'a Listener,
    /// Where they wrote it: `spec.listeners[0]`.
    pub(super) field: String,
    /// What is spoken; none if we do not speak it.
    pub(super) protocol: Option<ListenerProtocol>,
    /// The hosts that it serves.
    pub(super) host: HostPattern,
    /// The kinds of routes that it takes.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// Condition `Accepted`.
    pub(super) accepted: Verdict,
    /// Condition `ResolvedRefs`.
    pub(super) resolved: Verdict,
    /// Condition `Conflicted`, if it is true.
    pub(super) conflict: Option<Conflict>,
    /// How TLS is ended.
    pub(super) tls: ListenerTls,
    /// What a client must show.
    pub(super) client_auth: ClientAuth,
    /// Field → the object that set it, for what a policy says of this listener alone.
    pub(super) set_by: Vec<(Arc<str>, Origin)>,
    /// The lowest TLS version that is spoken (ListenerPolicy).
    pub(super) min_version: TlsVersion,
    /// Filters that run before a route is matched.
    pub(super) filters: Vec<Filter>,
    /// Routes that are attached, until they are assembled.
    pub(super) routes: Vec<AttachedRoute>,
    /// How many routes are attached.
    pub(super) attached: usize,
}

/// A route on a listener.
pub(super) struct AttachedRoute {
    pub(super) created: Option<Time>,
    pub(super) key: ObjectKey,
    pub(super) outcome: RouteOutcome,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ListenerProtocol {
    Http,
    Https,
    TlsTerminate,
    TlsPassthrough,
    Tcp,
    Udp,
}

/// How a listener ends TLS.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum ListenerTls {
    /// It does not.
    #[default]
    None,
    /// With these key pairs.
    Certificates(Vec<SecretName>),
    /// With the Gateway's own SVID, once it is known who it is.
    Mesh,
    /// With this one's SVID.
    Svid(IdentityName),
    /// No certificate could be resolved, or its clients could not be judged: it serves nobody.
    Closed(Arc<str>),
}

impl ListenerProtocol {
    fn of(listener: &Listener) -> Option<Self> {
        let mode = listener.tls.as_ref().map(|tls| tls.mode);
        match listener.protocol.as_str() {
            "HTTP" => Some(Self::Http),
            "HTTPS" if mode == Some(TlsMode::Passthrough) => None,
            "HTTPS" => Some(Self::Https),
            "TLS" if mode == Some(TlsMode::Passthrough) => Some(Self::TlsPassthrough),
            "TLS" => Some(Self::TlsTerminate),
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            _ => None,
        }
    }

    /// The kinds of routes that it can carry.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Http | Self::Https => &[HttpRoute::KIND, GrpcRoute::KIND],
            Self::TlsTerminate | Self::TlsPassthrough => &[TlsRoute::KIND],
            Self::Tcp => &[TcpRoute::KIND],
            Self::Udp => &[UdpRoute::KIND],
        }
    }

    /// Whether TLS ends here.
    pub(super) fn terminates(self) -> bool {
        matches!(self, Self::Https | Self::TlsTerminate)
    }

    /// Whether listeners of the two can share a port and are told apart by host.
    pub(super) fn shares_port_with(self, other: Self) -> bool {
        match self {
            Self::Http => other == Self::Http,
            Self::Https | Self::TlsTerminate | Self::TlsPassthrough => {
                matches!(other, Self::Https | Self::TlsTerminate | Self::TlsPassthrough)
            }
            // One socket each: they clash only with their like.
            Self::Tcp | Self::Udp => other == self,
        }
    }
}

impl<'a> ListenerState<'a> {
    /// Looks at one listener by itself.
    pub(super) fn new(
        owner: &ObjectKey,
        position: usize,
        spec: &'a Listener,
        context: &mut Context<'a>,
    ) -> Self {
        let mut state = Self {
            owner: owner.clone(),
            spec,
            field: format!("spec.listeners[{position}]"),
            protocol: ListenerProtocol::of(spec),
            host: HostPattern::Any,
            kinds: Vec::new(),
            accepted: Verdict::Yes,
            resolved: Verdict::Yes,
            conflict: None,
            tls: ListenerTls::None,
            client_auth: ClientAuth::None,
            set_by: Vec::new(),
            min_version: TlsVersion::default(),
            filters: Vec::new(),
            routes: Vec::new(),
            attached: 0,
        };
        match state.protocol {
            Some(protocol) => {
                state.read_hostname(protocol, context);
                state.read_kinds(protocol, context);
                state.read_tls(protocol, context);
            }
            None => state.refuse_protocol(context),
        }
        state
    }

    /// Whether something of it is put on a socket.
    pub(super) fn is_usable(&self) -> bool {
        let closed = matches!(self.tls, ListenerTls::Closed(_))
            || matches!(self.client_auth, ClientAuth::Closed { .. });
        self.accepted.is_yes() && self.conflict.is_none() && !closed
    }

    /// Whether routes of a kind may attach.
    pub(super) fn takes_kind(&self, kind: &str) -> bool {
        self.kinds.iter().any(|taken| taken.group == GROUP && taken.kind == kind)
    }

    /// Whether routes of a namespace may attach.
    pub(super) fn takes_namespace(&self, namespace: &str, context: &Context<'_>) -> bool {
        let allowed = &self.spec.allowed_routes.namespaces;
        match allowed.from {
            RoutesFrom::All => true,
            RoutesFrom::Same => namespace == self.owner.namespace,
            RoutesFrom::Selector => allowed
                .selector
                .as_ref()
                .is_some_and(|selector| context.index.selects_namespace(selector, namespace)),
        }
    }

    fn refuse_protocol(&mut self, context: &mut Context<'_>) {
        let protocol = &self.spec.protocol;
        let (message, mend) = match protocol.as_str() {
            "HTTPS" => {
                ("protocol HTTPS needs TLS to end here".to_owned(), "use mode Terminate, or protocol TLS")
            }
            _ => (format!("protocol {protocol} is not spoken"), "use HTTP, HTTPS, TLS, TCP or UDP"),
        };
        let field = format!("{}.protocol", self.field);
        let reason = ("Accepted", "UnsupportedProtocol");
        let problem = Problem::error(&self.owner, field, reason, message, mend);
        self.accepted.report(problem, &mut context.problems);
    }

    fn read_hostname(&mut self, protocol: ListenerProtocol, context: &mut Context<'_>) {
        // The API ignores a hostname where nothing carries one.
        if matches!(protocol, ListenerProtocol::Tcp | ListenerProtocol::Udp) {
            return;
        }
        match self.spec.hostname.as_deref().unwrap_or_default().parse() {
            Ok(host) => self.host = host,
            Err(error) => {
                let problem = Problem::error(
                    &self.owner,
                    format!("{}.hostname", self.field),
                    ("Accepted", "UnsupportedValue"),
                    error.to_string(),
                    "write a DNS name, or one behind *.",
                );
                self.accepted.report(problem, &mut context.problems);
            }
        }
    }

    fn read_kinds(&mut self, protocol: ListenerProtocol, context: &mut Context<'_>) {
        let possible = protocol.kinds();
        let asked = &self.spec.allowed_routes.kinds;
        if asked.is_empty() {
            let all =
                possible.iter().map(|&kind| RouteGroupKind { kind: kind.to_owned(), ..Default::default() });
            self.kinds = all.collect();
            return;
        }
        for (position, kind) in asked.iter().enumerate() {
            if kind.group == GROUP && possible.contains(&kind.kind.as_str()) {
                if !self.kinds.contains(kind) {
                    self.kinds.push(kind.clone());
                }
                continue;
            }
            let problem = Problem::error(
                &self.owner,
                format!("{}.allowedRoutes.kinds[{position}]", self.field),
                ("ResolvedRefs", "InvalidRouteKinds"),
                format!(
                    "a listener of protocol {} takes no {} of group {}",
                    self.spec.protocol, kind.kind, kind.group
                ),
                format!("use {} of group {GROUP}", possible.join(" or ")),
            );
            self.resolved.report(problem, &mut context.problems);
        }
    }

    fn read_tls(&mut self, protocol: ListenerProtocol, context: &mut Context<'_>) {
        if !protocol.terminates() {
            return;
        }
        self.refuse_options(context);
        if self.wants_svid() {
            self.tls = if self.names_no_certificate() {
                ListenerTls::Mesh
            } else {
                self.refuse_two_certificates(context)
            };
            return;
        }
        let mut certificates = Vec::new();
        let references = self.spec.tls.iter().flat_map(|tls| &tls.certificate_refs);
        for (position, reference) in references.enumerate() {
            let namespace = reference.namespace.as_deref().unwrap_or(&self.owner.namespace);
            let key = ObjectKey::new(&reference.group, &reference.kind, namespace, &reference.name);
            let field = format!("{}.tls.certificateRefs[{position}]", self.field);
            match resolve_key_pair(Referrer::of_key(&self.owner), key, context) {
                Ok(name) if !certificates.contains(&name) => certificates.push(name),
                Ok(_) => {}
                Err((reason, message)) => {
                    let reason = ("ResolvedRefs", reason.unwrap_or("InvalidCertificateRef"));
                    let problem = Problem::error(&self.owner, field, reason, message, "");
                    self.resolved.report(problem, &mut context.problems);
                }
            }
        }
        if certificates.is_empty() && self.names_no_certificate() {
            let problem = Problem::error(
                &self.owner,
                format!("{}.tls.certificateRefs", self.field),
                ("ResolvedRefs", "InvalidCertificateRef"),
                "TLS is to end here, but no certificate is named",
                "name a Secret of type kubernetes.io/tls",
            );
            self.resolved.report(problem, &mut context.problems);
        }
        self.tls = if certificates.is_empty() {
            let reason = format!("no certificate of listener {} could be resolved", self.spec.name);
            ListenerTls::Closed(reason.into())
        } else {
            ListenerTls::Certificates(certificates)
        };
    }

    /// Whether the user named no certificate at all.
    fn names_no_certificate(&self) -> bool {
        self.spec.tls.as_ref().is_none_or(|tls| tls.certificate_refs.is_empty())
    }

    /// Whether the Gateway's own SVID is to be shown.
    fn wants_svid(&self) -> bool {
        self.spec.tls.iter().any(|tls| tls.options.contains_key(CERTIFICATE))
    }

    fn refuse_two_certificates(&mut self, context: &mut Context<'_>) -> ListenerTls {
        let problem = Problem::error(
            &self.owner,
            format!("{}.tls.certificateRefs", self.field),
            ("Accepted", "InvalidParameters"),
            format!("the option {CERTIFICATE} says that the Gateway's SVID is shown"),
            "remove certificateRefs, or the option",
        );
        let reason = problem.explanation().into();
        self.accepted.report(problem, &mut context.problems);
        ListenerTls::Closed(reason)
    }

    fn refuse_options(&mut self, context: &mut Context<'_>) {
        for (key, value) in self.spec.tls.iter().flat_map(|tls| &tls.options) {
            let (message, mend) = match (key.as_str(), value.as_str()) {
                (CERTIFICATE, "mesh") => continue,
                (CERTIFICATE, other) => (format!("{other:?} is no certificate"), "write mesh, or remove it"),
                _ => ("this option is not known".to_owned(), "remove it"),
            };
            let problem = Problem::error(
                &self.owner,
                format!("{}.tls.options[{key:?}]", self.field),
                ("Accepted", "UnsupportedValue"),
                message,
                mend,
            );
            self.accepted.report(problem, &mut context.problems);
        }
    }
}

/// Says what a listener shows where it is not a certificate of `certificateRefs`.
const CERTIFICATE: &str = "diolkos.io/certificate";

/// Follows a reference to a key pair: is it allowed, is it there, is it sound, in that order. An error has a
/// reason if it is that of a reference that is not allowed.
pub(super) fn resolve_key_pair(
    referrer: Referrer<'_>,
    key: ObjectKey,
    context: &mut Context<'_>,
) -> Result<SecretName, (Option<&'static str>, String)> {
    let granted = context
        .index
        .grants
        .check(referrer, key)
        .map_err(|error| (Some("RefNotPermitted"), error.to_string()))?;
    context.certificates.key_pair(&granted).map_err(|error| (None, error.to_string()))
}
