//! `spec.tls.frontend` of a Gateway: what clients of its HTTPS listeners must show (GEP-91).

use std::collections::BTreeMap;

use api::ObjectKey;
use api::core::ClusterTrustBundle;
use api::gateway_api::{FrontendTls, FrontendTlsConfig, FrontendTlsValidation, FrontendValidationMode};
use api::{Object, gateway_api::ObjectReference};
use model::{ClientAuth, TrustAnchors};

use super::gateway::GatewayState;
use super::listener::{ListenerProtocol, ListenerState};
use crate::certificates::CertificateError;
use crate::context::Context;
use crate::grants::Referrer;
use crate::problem::Problem;

/// What one validation came to.
#[derive(Clone)]
struct Outcome {
    auth: ClientAuth,
    /// What is wrong, of the references: reason and message.
    faults: Vec<(&'static str, String)>,
}

/// Sets what clients of each HTTPS listener must show, and says on the listeners what could not be resolved.
pub(super) fn apply(state: &mut GatewayState<'_>, context: &mut Context<'_>) {
    let Some(frontend) = state.gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else {
        return;
    };
    let mut outcomes = BTreeMap::<Option<u16>, Option<Outcome>>::new();
    let (gateway, listeners) = (&state.key, &mut state.listeners);
    for listener in listeners.iter_mut().filter(|listener| listener.protocol == Some(ListenerProtocol::Https))
    {
        let (port, config) = config_of(frontend, listener.spec.port);
        let outcome = outcomes.entry(port).or_insert_with(|| {
            let field = match port {
                Some(port) => format!("spec.tls.frontend.perPort[port={port}].tls.validation"),
                None => "spec.tls.frontend.default.validation".to_owned(),
            };
            config.validation.as_ref().map(|validation| resolve(validation, &field, gateway, context))
        });
        if let Some(outcome) = outcome {
            tell(listener, outcome, gateway);
        }
    }
    let configs = frontend.per_port.iter().map(|port| &port.tls).chain([&frontend.default]);
    let mut validations = configs.filter_map(|config| config.validation.as_ref());
    state.insecure =
        validations.any(|validation| validation.mode == FrontendValidationMode::AllowInsecureFallback);
}

/// The configuration of a port: its own, or the default.
fn config_of(frontend: &FrontendTls, port: u16) -> (Option<u16>, &FrontendTlsConfig) {
    match frontend.per_port.iter().find(|own| own.port == port) {
        Some(own) => (Some(port), &own.tls),
        None => (None, &frontend.default),
    }
}

/// The owner of a ListenerSet learns that the Gateway's references do not resolve, not what they are.
fn tell(listener: &mut ListenerState<'_>, outcome: &Outcome, gateway: &ObjectKey) {
    let elsewhere = format!("spec.tls.frontend of {gateway} has no valid CA certificate for this port");
    let is_own = listener.owner == *gateway;
    listener.client_auth = outcome.auth.clone();
    for (reason, message) in &outcome.faults {
        listener.resolved.fail(reason, if is_own { message } else { &elsewhere });
    }
    if let ClientAuth::Closed { reason } = &outcome.auth {
        listener.accepted.fail("NoValidCACertificate", if is_own { &**reason } else { &elsewhere });
    }
}

fn resolve(
    validation: &FrontendTlsValidation,
    field: &str,
    gateway: &ObjectKey,
    context: &mut Context<'_>,
) -> Outcome {
    let mut pem = String::new();
    let mut faults = Vec::new();
    for (position, reference) in validation.ca_certificate_refs.iter().enumerate() {
        match anchors(reference, gateway, context) {
            Ok(TrustAnchors(text)) => {
                pem.push_str(&text);
                if !text.ends_with('\n') {
                    pem.push('\n');
                }
            }
            Err((reason, message)) => {
                let field = format!("{field}.caCertificateRefs[{position}]");
                let problem = Problem::error(gateway, field, ("ResolvedRefs", reason), message, "");
                faults.push((reason, problem.explanation()));
                context.problems.push(problem);
            }
        }
    }
    let auth = if pem.is_empty() {
        ClientAuth::Closed { reason: format!("{field} of {gateway} has no valid CA certificate").into() }
    } else {
        let anchors = TrustAnchors(pem.into());
        match validation.mode {
            FrontendValidationMode::AllowValidOnly => ClientAuth::Require(anchors),
            FrontendValidationMode::AllowInsecureFallback => ClientAuth::InsecureFallback(anchors),
        }
    };
    Outcome { auth, faults }
}

fn anchors(
    reference: &ObjectReference,
    gateway: &ObjectKey,
    context: &mut Context<'_>,
) -> Result<TrustAnchors, (&'static str, String)> {
    let ObjectReference { group, kind, name, namespace } = reference;
    let cluster_scoped = group == ClusterTrustBundle::GROUP && kind == ClusterTrustBundle::KIND;
    let namespace = if cluster_scoped { "" } else { namespace.as_deref().unwrap_or(&gateway.namespace) };
    let key = ObjectKey::new(group, kind, namespace, name);
    let granted = context
        .index
        .grants
        .check(Referrer::of_key(gateway), key)
        .map_err(|error| ("RefNotPermitted", error.to_string()))?;
    context.certificates.trust_anchors(&granted).map_err(|error| {
        let reason = match error {
            CertificateError::Kind(..) => "InvalidCACertificateKind",
            _ => "InvalidCACertificateRef",
        };
        (reason, error.to_string())
    })
}
