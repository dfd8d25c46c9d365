//! XBackend (GEP-4894): a host outside, or pods by label, with protocol, TLS and sessions of its own.

use std::net::IpAddr;

use api::core::Pod;
use api::gateway_api::{SecretObjectReference, XBackend, XBackendProtocol, XBackendTlsMode, XBackendType};
use api::{Object, ObjectKey};
use model::{Address, BackendName, BackendProtocol, Endpoint, EndpointSet, UpstreamTls};

use super::{About, Found, Spoken, User, Wire, condition, own_policy, protocol, slices, tls};
use crate::context::Context;
use crate::grants::{Granted, Referrer};
use crate::routes::{ClientCertificate, Fault, Reason, origin, session};
use crate::status::Verdict;

/// Resolves a reference to an XBackend.
pub(super) fn resolve(
    context: &mut Context<'_>,
    user: &User<'_>,
    key: &Granted<ObjectKey>,
    port: Option<u16>,
    field: &str,
) -> Result<BackendName, Fault> {
    let Some(backend) = context.index.follow::<XBackend>(key) else {
        let message = format_args!("{} does not exist", key.get());
        return Err(Fault::new(Reason::BackendNotFound, format!("{field}.name"), message));
    };
    let key = key.get();
    if port.is_some() {
        let message = "must be left out: an XBackend says its port itself";
        return Err(Fault::new(Reason::BackendNotFound, format!("{field}.port"), message));
    }
    let checked = check(context, backend, key);
    let yes = ("Accepted", "The backend can be used");
    context.report_verdict(key, "Accepted", &checked.verdict);
    context.ancestors.note(key, &user.scope.gateway.key(), || {
        vec![condition(&backend.metadata, "Accepted", &checked.verdict, yes)]
    });
    let (Some(port), Some(place)) = (backend.spec.port.number.filter(|port| *port > 0), checked.place) else {
        let (_, reason) = checked.verdict.failure().unwrap_or_default();
        let message = format_args!("{key} cannot be used: {reason}");
        return Err(Fault::new(Reason::BackendNotFound, format!("{field}.name"), message));
    };
    let policies = own_policy::of(context, key, "");
    let spoken = own_policy::spoken(&policies).unwrap_or_else(|| spoken(backend.spec.protocol));
    let unsupported = |reason: &str| {
        let said = backend.spec.protocol.map(XBackendProtocol::as_str).unwrap_or_default();
        let message = format_args!("{key} has protocol {said}, {reason}");
        Fault::new(Reason::UnsupportedProtocol, field, message)
    };
    if user.wire == Wire::Udp {
        return Err(unsupported("which is not UDP"));
    }
    if user.wire == Wire::Passthrough && checked.tls != UpstreamTls::Plain {
        return Err(unsupported("but its tls.mode is not None, and the traffic is TLS already"));
    }
    let host = match &place {
        Place::Host(host) => Some(host.clone()),
        Place::Pods => None,
    };
    let about = About {
        metadata: &backend.metadata,
        is_external: host.is_some(),
        selector: None,
        host,
        asked_tls: checked.tls.clone(),
    };
    let found = Found {
        key,
        about,
        port,
        protocol: protocol(user.wire, spoken).map_err(unsupported)?,
        usual: protocol(Wire::Http, spoken).unwrap_or(BackendProtocol::Auto),
        tls: checked.tls,
        per_gateway: false,
        session: checked.session,
        policies,
    };
    Ok(found.enter(context, user, |context| match place {
        Place::Host(host) => EndpointSet(vec![Endpoint {
            address: Address::Name(host.into()),
            port,
            weight: 1,
            zone: "".into(),
            draining: false,
            workload: "".into(),
            reach: model::Reach::AsBackend,
        }]),
        Place::Pods => slices::pods(selected(context, backend), port),
    }))
}

/// An XBackend that has been looked at.
struct Checked {
    verdict: Verdict,
    place: Option<Place>,
    tls: UpstreamTls,
    session: Option<model::SessionPersistence>,
}

enum Place {
    Host(String),
    Pods,
}

fn check(context: &mut Context<'_>, backend: &XBackend, key: &ObjectKey) -> Checked {
    let mut verdict = Verdict::Yes;
    let place = place(backend).map_err(|message| verdict.fail("Invalid", message)).ok();
    if backend.spec.port.number.unwrap_or_default() == 0 {
        verdict.fail("Invalid", "spec.port.number must be 1–65535");
    }
    let tls = tls(context, backend, &mut verdict);
    let secured = tls != UpstreamTls::Plain;
    match backend.spec.protocol {
        Some(XBackendProtocol::H2c) if secured => {
            verdict
                .fail("Invalid", "spec.tls.mode must be None where spec.protocol is H2C; use HTTP2 for TLS");
        }
        Some(said @ (XBackendProtocol::Http2 | XBackendProtocol::Wss)) if !secured => {
            verdict.fail(
                "Invalid",
                format!("spec.tls.mode must not be None where spec.protocol is {}", said.as_str()),
            );
        }
        _ => {}
    }
    let session = backend.spec.session_persistence.as_ref().and_then(|wanted| {
        let compiled = session::persistence(wanted, &origin(key), "", "spec.sessionPersistence");
        compiled.map_err(|fault| verdict.fail("Invalid", fault.to_string())).ok()
    });
    let place = place.filter(|_| verdict.is_yes() || matches!(tls, UpstreamTls::Closed { .. }));
    Checked { verdict, place, tls, session }
}

fn place(backend: &XBackend) -> Result<Place, &'static str> {
    match backend.spec.type_ {
        XBackendType::ExternalHostname => {
            let host = backend.spec.external_hostname.as_ref();
            let host = host.map(|external| external.hostname.to_ascii_lowercase()).unwrap_or_default();
            let named = !host.is_empty() && host.parse::<IpAddr>().is_err();
            if !named || host.ends_with(".cluster.local") {
                return Err("spec.externalHostname.hostname must be the name of a host outside the cluster");
            }
            Ok(Place::Host(host))
        }
        XBackendType::EndpointSelector => match &backend.spec.endpoint_selector {
            Some(selector) if !selector.match_labels.is_empty() => Ok(Place::Pods),
            _ => Err("spec.endpointSelector.matchLabels must have a label"),
        },
    }
}

/// TLS as the XBackend itself says; the Gateway's own certificate is shown only where a Service's policy asks.
fn tls(context: &mut Context<'_>, backend: &XBackend, verdict: &mut Verdict) -> UpstreamTls {
    let wanted = &backend.spec.tls;
    if wanted.mode == XBackendTlsMode::None {
        return UpstreamTls::Plain;
    }
    let Some(validation) = &wanted.validation else {
        let message = "spec.tls.validation must be given where spec.tls.mode is not None";
        verdict.fail("Invalid", message);
        return UpstreamTls::Closed { reason: message.into() };
    };
    let checked = tls::check(context, validation, Referrer::of(backend), "spec.tls.validation");
    *verdict = std::mem::take(verdict).and(checked.accepted.clone()).and(checked.resolved.clone());
    let certificate = match (wanted.mode, &wanted.client_certificate_ref) {
        (XBackendTlsMode::ClientAndServer, Some(reference)) => own_certificate(context, backend, reference),
        (XBackendTlsMode::ClientAndServer, None) => {
            Err("spec.tls.clientCertificateRef must be given where spec.tls.mode is ClientAndServer"
                .to_owned())
        }
        (XBackendTlsMode::ServerOnly | XBackendTlsMode::None, _) => Ok(ClientCertificate::None),
    };
    let certificate = certificate.unwrap_or_else(|message| {
        verdict.fail("Invalid", &*message);
        ClientCertificate::Unresolved { reason: message.into() }
    });
    checked.tls(&certificate)
}

fn own_certificate(
    context: &mut Context<'_>,
    backend: &XBackend,
    reference: &SecretObjectReference,
) -> Result<ClientCertificate, String> {
    let say = |message: &dyn std::fmt::Display| format!("spec.tls.clientCertificateRef: {message}");
    let namespace = reference.namespace.as_deref().unwrap_or(backend.namespace());
    let key = ObjectKey::new(&*reference.group, &*reference.kind, namespace, &*reference.name);
    let granted = context.index.grants.check(Referrer::of(backend), key).map_err(|error| say(&error))?;
    let secret = context.certificates.key_pair(&granted).map_err(|error| say(&error))?;
    Ok(ClientCertificate::Use(secret))
}

fn spoken(said: Option<XBackendProtocol>) -> Spoken {
    match said {
        None | Some(XBackendProtocol::Http | XBackendProtocol::Mcp) => Spoken::Unsaid,
        Some(XBackendProtocol::Http11 | XBackendProtocol::Wss) => Spoken::Http1,
        Some(XBackendProtocol::Http2 | XBackendProtocol::H2c | XBackendProtocol::Grpc) => Spoken::Http2,
        Some(XBackendProtocol::Tcp) => Spoken::Opaque,
    }
}

fn selected<'a>(context: &Context<'a>, backend: &XBackend) -> impl Iterator<Item = &'a Pod> {
    let wanted = backend.spec.endpoint_selector.as_ref().map(|selector| &selector.match_labels);
    context.index.all::<Pod>().filter(move |pod| {
        let labels = pod.metadata.labels.as_ref();
        let has = |(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value);
        pod.namespace() == backend.namespace() && wanted.is_some_and(|wanted| wanted.iter().all(has))
    })
}
