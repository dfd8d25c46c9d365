//! Services as backends: the port, what is spoken there, the endpoints.

use api::ObjectKey;
use api::core::{Service, ServicePort};
use model::{BackendName, BackendProtocol, EndpointSet, UpstreamTls};

use super::{About, Found, Spoken, User, Wire, own_policy, protocol, slices, tls_policy};
use crate::context::Context;
use crate::grants::Granted;
use crate::routes::{ClientCertificate, Fault, Reason};

/// Resolves a reference to a Service.
pub(super) fn resolve(
    context: &mut Context<'_>,
    user: &User<'_>,
    key: &Granted<ObjectKey>,
    port: Option<u16>,
    field: &str,
) -> Result<BackendName, Fault> {
    let Some(service) = context.index.follow::<Service>(key) else {
        let message = format_args!("{} does not exist", key.get());
        return Err(Fault::new(Reason::BackendNotFound, format!("{field}.name"), message));
    };
    let key = key.get();
    if service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        // BackendObjectReference: such a Service leads anywhere, past ReferenceGrant, too.
        let message = format_args!("{key} is of type ExternalName, which is refused as a backend");
        let fault = Fault::new(Reason::InvalidKind, format!("{field}.name"), message);
        return Err(fault.mend("use an XBackend of type ExternalHostname"));
    }
    let Some(number) = port else {
        let message = format_args!("the port is missing, and {key} is a Service");
        let fault = Fault::new(Reason::BackendNotFound, format!("{field}.port"), message);
        return Err(fault.mend("name a port of the Service"));
    };
    let port = find_port(service, key, number, user.wire, field)?;
    let app = App::of(port.app_protocol.as_deref());
    let unsupported = |reason: &str| {
        let app_protocol = port.app_protocol.as_deref().unwrap_or_default();
        let message = format_args!("port {number} of {key} has appProtocol {app_protocol:?}, {reason}");
        Fault::new(Reason::UnsupportedProtocol, format!("{field}.port"), message)
    };
    let port_name = port.name.as_deref().unwrap_or_default();
    let policies = own_policy::of(context, key, port_name);
    let said = own_policy::spoken(&policies).unwrap_or(app.spoken);
    let spoken = protocol(user.wire, said).map_err(unsupported)?;
    let asked_tls = match user.wire {
        Wire::Http | Wire::Grpc | Wire::Tcp => tls_policy::of(context, user.scope, key, port_name),
        // The traffic is TLS already; what a policy asks for tells only how a meshed endpoint is known.
        Wire::Passthrough => tls_policy::asked_for(context, user.scope, key, port_name),
        Wire::Udp => UpstreamTls::Plain,
    };
    let tls = if user.wire == Wire::Passthrough { UpstreamTls::Plain } else { asked_tls.clone() };
    let wants_tls = matches!(user.wire, Wire::Http | Wire::Grpc) && app.tls && tls == UpstreamTls::Plain;
    let about = About {
        metadata: &service.metadata,
        is_external: false,
        selector: service.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        host: Some(format!("{}.{}.svc.cluster.local", key.name, key.namespace)),
        asked_tls,
    };
    let found = Found {
        key,
        about,
        port: number,
        protocol: spoken,
        usual: protocol(Wire::Http, said).unwrap_or(BackendProtocol::Auto),
        per_gateway: tls != UpstreamTls::Plain && *user.scope.client_certificate != ClientCertificate::None,
        tls,
        session: None,
        policies,
    };
    let endpoints = |context: &Context<'_>| endpoints(context, service, key, port);
    if wants_tls && !found.meshed(context, user, endpoints).is_required {
        let fault = unsupported("but nothing says whom to trust there");
        return Err(fault.mend("add a BackendTLSPolicy for the Service"));
    }
    Ok(found.enter(context, user, endpoints))
}

fn find_port<'s>(
    service: &'s Service,
    key: &ObjectKey,
    number: u16,
    wire: Wire,
    field: &str,
) -> Result<&'s ServicePort, Fault> {
    let wanted = if wire == Wire::Udp { "UDP" } else { "TCP" };
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut same_number = ports.filter(|port| port.port == i32::from(number)).peekable();
    let field = || format!("{field}.port");
    if same_number.peek().is_none() {
        let message = format_args!("{key} has no port {number}");
        return Err(Fault::new(Reason::BackendNotFound, field(), message));
    }
    same_number.find(|port| slices::transport(port.protocol.as_deref()) == wanted).ok_or_else(|| {
        let message = format_args!("port {number} of {key} is not of protocol {wanted}");
        Fault::new(Reason::UnsupportedProtocol, field(), message)
    })
}

fn endpoints(context: &Context<'_>, service: &Service, key: &ObjectKey, port: &ServicePort) -> EndpointSet {
    let mut families = service.spec.iter().flat_map(|spec| spec.ip_families.iter().flatten());
    let v6_first = families.next().is_some_and(|family| family == "IPv6");
    slices::endpoints(context.index.endpoint_slices(&key.namespace, &key.name), port, v6_first)
}

/// What `appProtocol` says: Kubernetes' standard names (KEP-3726) and IANA service names. Names that nobody knows
/// say nothing.
struct App {
    spoken: Spoken,
    tls: bool,
}

impl App {
    fn of(name: Option<&str>) -> Self {
        let (spoken, tls) = match name.unwrap_or_default() {
            "kubernetes.io/h2c" | "h2c" | "http2" | "grpc" => (Spoken::Http2, false),
            "kubernetes.io/ws" | "ws" => (Spoken::Http1, false),
            "kubernetes.io/wss" | "wss" => (Spoken::Http1, true),
            "https" => (Spoken::Unsaid, true),
            "tcp" | "udp" | "tls" | "dns" | "domain" | "mongo" | "mysql" | "postgresql" | "redis" => {
                (Spoken::Opaque, false)
            }
            _ => (Spoken::Unsaid, false),
        };
        Self { spoken, tls }
    }
}
