//! What a backend reference becomes: Service, XBackend → backend and endpoints, each resolved once.

mod mesh;
mod own_policy;
mod service;
mod slices;
mod tls;
mod tls_policy;
mod traffic_policy;
mod xbackend;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::Service;
use api::gateway_api::{self, BackendObjectReference, Gateway, ObjectMeta, XBackend};
use api::own::BackendPolicy;
use api::{Object, ObjectKey};
use model::{Backend, BackendName, BackendProtocol, EndpointSet, IdentityName, UpstreamTls};

use crate::context::Context;
use crate::grants::Referrer;
use crate::policy::Levels;
use crate::routes::{Fault, Reason, Scope, origin};

/// Backends and endpoints, each resolved once.
#[derive(Default)]
pub struct Backends {
    backends: BTreeMap<BackendName, Arc<Backend>>,
    endpoints: BTreeMap<BackendName, Arc<EndpointSet>>,
    sets: BTreeMap<Place, Arc<EndpointSet>>,
    meshed: BTreeMap<(Place, IdentityName, Wire), Arc<mesh::Meshed>>,
    tls_policies: BTreeMap<ObjectKey, Arc<tls_policy::Checked>>,
}

/// An object, its port, and whether datagrams are sent there.
type Place = (ObjectKey, u16, bool);

impl Backends {
    /// A resolved backend and its endpoints, by the name that a reference resolved to.
    pub fn get(&self, name: &BackendName) -> Option<(&Arc<Backend>, &Arc<EndpointSet>)> {
        Some((self.backends.get(name)?, self.endpoints.get(name)?))
    }
}

/// Who refers to a backend, and what is going to be sent there.
#[derive(Clone, Copy)]
pub struct User<'u> {
    /// The object that holds the reference.
    pub referrer: Referrer<'u>,
    /// The listener that requests come from.
    pub scope: &'u Scope<'u>,
    /// What is sent.
    pub wire: Wire,
}

/// What is sent to a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Wire {
    /// HTTP requests.
    Http,
    /// gRPC requests.
    Grpc,
    /// The bytes of a connection.
    Tcp,
    /// The bytes of a TLS connection that nobody has opened.
    Passthrough,
    /// Datagrams.
    Udp,
}

/// Resolves a reference to a backend.
///
/// # Errors
/// The kind is not served, no ReferenceGrant allows the reference, there is no such object or port, or the backend
/// speaks something that cannot be sent. The grant is checked before anything is looked up.
pub fn resolve(
    context: &mut Context<'_>,
    user: &User<'_>,
    reference: &BackendObjectReference,
    field: &str,
) -> Result<BackendName, Fault> {
    let kind = Kind::of(reference).ok_or_else(|| unknown_kind(reference, field))?;
    let namespace = reference.namespace.as_deref().unwrap_or(user.referrer.namespace);
    let key = ObjectKey::new(&*reference.group, &*reference.kind, namespace, &*reference.name);
    let granted = match context.index.grants.check(user.referrer, key) {
        Ok(granted) => granted,
        Err(error) => return Err(Fault::new(Reason::RefNotPermitted, format!("{field}.namespace"), error)),
    };
    match kind {
        Kind::Service => service::resolve(context, user, &granted, reference.port, field),
        Kind::XBackend => xbackend::resolve(context, user, &granted, reference.port, field),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Service,
    XBackend,
}

impl Kind {
    fn of(reference: &BackendObjectReference) -> Option<Self> {
        match (reference.group.as_str(), reference.kind.as_str()) {
            (Service::GROUP, Service::KIND) => Some(Self::Service),
            (XBackend::GROUP, XBackend::KIND) => Some(Self::XBackend),
            _ => None,
        }
    }
}

fn unknown_kind(reference: &BackendObjectReference, field: &str) -> Fault {
    let BackendObjectReference { group, kind, .. } = reference;
    let fault = if (group.as_str(), kind.as_str()) == (Gateway::GROUP, Gateway::KIND) {
        Fault::new(Reason::InvalidKind, format!("{field}.kind"), "a Gateway as backend is not served yet")
    } else {
        let message = format_args!("kind {kind} of group {group:?} is no kind of backend");
        Fault::new(Reason::InvalidKind, format!("{field}.kind"), message)
    };
    fault.mend("refer to a Service or to an XBackend of gateway.networking.x-k8s.io")
}

/// A backend that is found and may be used; what is still to say is how it is spoken to.
struct Found<'f, 'a> {
    key: &'f ObjectKey,
    about: About<'f>,
    port: u16,
    protocol: BackendProtocol,
    /// What an HTTPRoute would speak to it; the plain name belongs to that.
    usual: BackendProtocol,
    tls: UpstreamTls,
    /// The Gateway has its own way to be somebody there, so the backend is its own, too.
    per_gateway: bool,
    session: Option<model::SessionPersistence>,
    policies: Levels<'a, BackendPolicy>,
}

/// What a backend says about itself that matters for a mesh.
struct About<'f> {
    metadata: &'f ObjectMeta,
    /// It is outside the cluster.
    is_external: bool,
    /// The labels by which it finds pods.
    selector: Option<&'f BTreeMap<String, String>>,
    /// The name that it is called by.
    host: Option<String>,
    /// TLS that is asked for, even where what is sent is TLS already.
    asked_tls: UpstreamTls,
}

impl Found<'_, '_> {
    /// `service/NAMESPACE/NAME/PORT`; a suffix tells apart other ways to speak to the same object.
    fn name(&self, gateway: &Gateway) -> BackendName {
        let ObjectKey { kind, namespace, name, .. } = self.key;
        let mut text = format!("{}/{namespace}/{name}/{}", kind.to_ascii_lowercase(), self.port);
        match (self.protocol, &self.tls) {
            (protocol, _) if protocol == self.usual => {}
            (BackendProtocol::Http2, _) => text.push_str("/grpc"),
            (BackendProtocol::Tcp, UpstreamTls::Plain) => text.push_str("/tcp"),
            (BackendProtocol::Tcp, _) => text.push_str("/tls"),
            (BackendProtocol::Udp, _) => text.push_str("/udp"),
            (BackendProtocol::Auto | BackendProtocol::Http1, _) => text.push_str("/http"),
        }
        if self.per_gateway {
            text.push_str(&format!("@{}/{}", gateway.namespace(), gateway.name()));
        }
        text.into()
    }

    /// Adds the backend to those that are known.
    fn enter(
        mut self,
        context: &mut Context<'_>,
        user: &User<'_>,
        endpoints: impl FnOnce(&Context<'_>) -> EndpointSet,
    ) -> BackendName {
        let meshed = self.meshed(context, user, endpoints);
        self.per_gateway |= meshed.is_meshed && context.mesh.has_several_identities();
        let name = self.name(user.scope.gateway);
        let traffic = traffic_policy::of(context, user.scope.gateway, self.key);
        if context.backends.backends.contains_key(&name) {
            return name;
        }
        let mut backend = Backend {
            origin: origin(self.key),
            port: self.port,
            protocol: self.protocol,
            tls: self.tls,
            balance: model::Balance::default(),
            health: model::Health::default(),
            circuit: model::Circuit::default(),
            connection: model::UpstreamConnection::default(),
            retry_budget: None,
            session: self.session,
            set_by: meshed.set_by.clone(),
        };
        if let Some(traffic) = traffic {
            traffic.apply(&mut backend);
        }
        own_policy::apply(&self.policies, &mut backend);
        context.backends.backends.insert(name.clone(), Arc::new(backend));
        context.backends.endpoints.insert(name.clone(), meshed.endpoints.clone());
        name
    }

    /// The endpoints, and how each is reached from the Gateway; resolved once for each identity.
    fn meshed(
        &self,
        context: &mut Context<'_>,
        user: &User<'_>,
        endpoints: impl FnOnce(&Context<'_>) -> EndpointSet,
    ) -> Arc<mesh::Meshed> {
        let gateway = user.scope.mesh;
        let datagrams = user.wire == Wire::Udp;
        let place = (self.key.clone(), self.port, datagrams);
        let way = (place.clone(), gateway.identity.clone(), user.wire);
        if let Some(known) = context.backends.meshed.get(&way) {
            return known.clone();
        }
        let set = match context.backends.sets.get(&place) {
            Some(set) => set.clone(),
            None => Arc::new(endpoints(context)),
        };
        context.backends.sets.insert(place, set.clone());
        let asked = mesh::Asked {
            key: self.key,
            metadata: self.about.metadata,
            port: self.port,
            is_external: self.about.is_external,
            selector: self.about.selector,
            host: self.about.host.clone(),
            datagrams,
            tls: &self.about.asked_tls,
            policies: &self.policies,
        };
        let meshed = Arc::new(mesh::reach(&asked, gateway, &set, context));
        context.backends.meshed.insert(way, meshed.clone());
        meshed
    }
}

/// What is spoken, or why it cannot be: by what is sent, and by what the backend says that it speaks.
fn protocol(wire: Wire, spoken: Spoken) -> Result<BackendProtocol, &'static str> {
    match (wire, spoken) {
        (Wire::Udp, _) => Ok(BackendProtocol::Udp),
        (Wire::Tcp | Wire::Passthrough, _) => Ok(BackendProtocol::Tcp),
        (Wire::Http | Wire::Grpc, Spoken::Opaque) => Err("which is not HTTP"),
        (Wire::Http, Spoken::Unsaid) => Ok(BackendProtocol::Auto),
        (Wire::Http | Wire::Grpc, Spoken::Http2) | (Wire::Grpc, Spoken::Unsaid) => Ok(BackendProtocol::Http2),
        (Wire::Http, Spoken::Http1) => Ok(BackendProtocol::Http1),
        (Wire::Grpc, Spoken::Http1) => Err("which cannot carry gRPC"),
    }
}

/// What a backend says that it speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spoken {
    /// Nothing, or HTTP of any version.
    Unsaid,
    Http1,
    Http2,
    /// Something else than HTTP.
    Opaque,
}

/// A condition about a policy, with the policy's generation.
fn condition(
    metadata: &ObjectMeta,
    kind: &str,
    verdict: &crate::status::Verdict,
    yes: (&str, &str),
) -> gateway_api::Condition {
    verdict.condition(kind, metadata.generation, yes)
}
