//! A Gateway: its class, addresses, listeners, and what they add up to.

use std::collections::BTreeMap;

use api::gateway_api::{Gateway, GatewayDefaultScope, SecretObjectReference};
use api::own::GatewayParameters;
use api::{Object, ObjectKey};
use model::GatewaySettings;

use super::addresses::Addresses;
use super::class::Class;
use super::frontend_tls;
use super::listener::{self, ListenerState};
use super::listener_set::{self, SetState};
use super::{conflict, filters, mesh};
use crate::context::Context;
use crate::grants::Referrer;
use crate::index::Index;
use crate::mesh::{Applicant, GatewayMesh, Wanted, identities};
use crate::parameters;
use crate::problem::Problem;
use crate::routes::ClientCertificate;
use crate::status::Verdict;

/// A Gateway of one of our classes, and what became of it.
pub(super) struct GatewayState<'a> {
    /// The Gateway.
    pub(super) gateway: &'a Gateway,
    /// Its key.
    pub(super) key: ObjectKey,
    /// Condition `Accepted`, as far as the Gateway itself decides.
    pub(super) accepted: Verdict,
    /// Condition `ResolvedRefs`, without that of listeners.
    pub(super) resolved: Verdict,
    /// Its addresses.
    pub(super) addresses: Addresses,
    /// Whom it is to backends.
    pub(super) client_certificate: ClientCertificate,
    /// Who it is in its mesh.
    pub(super) mesh: GatewayMesh,
    /// Clients without a valid certificate are let in on some port that asks for one.
    pub(super) insecure: bool,
    /// What holds for its proxies as a whole.
    pub(super) settings: GatewaySettings,
    /// Its listeners, then those of its ListenerSets in order of precedence.
    pub(super) listeners: Vec<ListenerState<'a>>,
    /// The ListenerSets that name it, in order of precedence.
    pub(super) sets: Vec<SetState<'a>>,
}

impl GatewayState<'_> {
    /// Whether sockets are opened for it.
    pub(super) fn serves(&self) -> bool {
        self.accepted.is_yes() && !self.addresses.withheld
    }
}

/// Gateways of our classes, the oldest first.
pub(super) fn gateways<'a>(
    classes: &BTreeMap<&'a str, Class<'a>>,
    context: &mut Context<'a>,
) -> Vec<GatewayState<'a>> {
    let mut ours: Vec<(&Gateway, &Class<'a>)> = context
        .index
        .all::<Gateway>()
        .filter_map(|gateway| Some((gateway, classes.get(gateway.spec.gateway_class_name.as_str())?)))
        .collect();
    // `all` is in order of name, and the sort is stable.
    ours.sort_by_key(|(gateway, _)| gateway.metadata.creation_timestamp.clone());
    let mut sets = listener_set::by_gateway(context);
    let applicants = ours.iter().map(|(gateway, class)| {
        let own = own_parameters(gateway, context.index).unwrap_or_default();
        Applicant { gateway, wanted: Wanted::of(class.parameters, own) }
    });
    let applicants: Vec<_> = applicants.collect();
    let meshes = identities(&applicants, context);
    ours.into_iter()
        .zip(meshes)
        .map(|((gateway, class), mesh)| {
            let sets = sets.remove(&gateway.key()).unwrap_or_default();
            evaluate(gateway, class, mesh, sets, context)
        })
        .collect()
}

/// The parameters that a Gateway itself names.
fn own_parameters<'a>(
    gateway: &Gateway,
    index: &Index<'a>,
) -> Result<Option<&'a GatewayParameters>, (String, String)> {
    let infrastructure = gateway.spec.infrastructure.as_ref();
    let reference = infrastructure.and_then(|infrastructure| infrastructure.parameters_ref.as_ref());
    let Some(reference) = reference else { return Ok(None) };
    let kind = (reference.group.as_str(), reference.kind.as_str());
    parameters::find(index, kind, Some(gateway.namespace()), &reference.name).map(Some)
}

fn evaluate<'a>(
    gateway: &'a Gateway,
    class: &Class<'a>,
    (identity, resolved): (GatewayMesh, Verdict),
    sets: Vec<&'a api::gateway_api::ListenerSet>,
    context: &mut Context<'a>,
) -> GatewayState<'a> {
    let key = gateway.key();
    let addresses = Addresses::of(gateway, context);
    let mut accepted = addresses.supported.clone();
    if let Some((reason, message)) = class.accepted.failure() {
        accepted.fail(reason, format!("GatewayClass {}: {message}", gateway.spec.gateway_class_name));
    }
    let mut state = GatewayState {
        gateway,
        key,
        accepted,
        resolved,
        addresses,
        client_certificate: ClientCertificate::None,
        mesh: identity,
        insecure: false,
        settings: GatewaySettings::default(),
        listeners: Vec::new(),
        sets: Vec::new(),
    };
    state.refuse_default_scope(context);
    state.read_parameters(class, context);
    state.read_client_certificate(context);
    for (position, listener) in gateway.spec.listeners.iter().enumerate() {
        state.listeners.push(ListenerState::new(&state.key, position, listener, context));
    }
    for set in sets {
        listener_set::merge(&mut state, set, context);
    }
    conflict::mark(&mut state.listeners, context);
    frontend_tls::apply(&mut state, context);
    mesh::apply(&mut state, context);
    filters::apply(&mut state, context);
    state
}

impl GatewayState<'_> {
    fn refuse_default_scope(&self, context: &mut Context<'_>) {
        if self.gateway.spec.default_scope.is_some_and(|scope| scope != GatewayDefaultScope::None) {
            context.problems.push(Problem::error(
                &self.key,
                "spec.defaultScope",
                ("", "UnsupportedValue"),
                "a Gateway is not the default of routes here",
                "name it in the parentRefs of routes",
            ));
        }
    }

    fn read_parameters(&mut self, class: &Class<'_>, context: &mut Context<'_>) {
        let own = own_parameters(self.gateway, context.index).unwrap_or_else(|(message, mend)| {
            let reason = ("Accepted", "InvalidParameters");
            let field = "spec.infrastructure.parametersRef";
            let problem = Problem::error(&self.key, field, reason, message, mend);
            self.accepted.report(problem, &mut context.problems);
            None
        });
        self.settings = parameters::settings(class.parameters, own);
    }

    /// GEP-3155: whom the Gateway is to backends that ask for a certificate.
    fn read_client_certificate(&mut self, context: &mut Context<'_>) {
        let backend = self.gateway.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
        let Some(reference) = backend.and_then(|backend| backend.client_certificate_ref.as_ref()) else {
            return;
        };
        let SecretObjectReference { group, kind, name, namespace } = reference;
        let namespace = namespace.as_deref().unwrap_or(&self.key.namespace);
        let secret = ObjectKey::new(group, kind, namespace, name);
        match listener::resolve_key_pair(Referrer::of_key(&self.key), secret, context) {
            Ok(name) => self.client_certificate = ClientCertificate::Use(name),
            Err((reason, message)) => {
                let reason = ("ResolvedRefs", reason.unwrap_or("InvalidClientCertificateRef"));
                let field = "spec.tls.backend.clientCertificateRef";
                let problem = Problem::error(&self.key, field, reason, message, "");
                let reason = problem.explanation().into();
                self.client_certificate = ClientCertificate::Unresolved { reason };
                self.resolved.report(problem, &mut context.problems);
            }
        }
    }
}
