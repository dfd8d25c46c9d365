//! Mesh listeners: those that show the Gateway's SVID, and those that ask clients for theirs.

use api::Object;
use api::ObjectKey;
use api::own::{ListenerMeshMode, ListenerPolicy};
use model::{ClientAuth, ConnectionPolicy, MeshClients, MeshMode};

use super::gateway::GatewayState;
use super::listener::{ListenerProtocol, ListenerState, ListenerTls};
use crate::context::Context;
use crate::mesh::GatewayMesh;
use crate::policy::listener::{self as policy, Carries, MeshChoice, Socket};
use crate::problem::Problem;
use crate::status::Verdict;

/// Sets what listeners that end TLS show and ask for. (What HTTP and TCP listeners ask for holds for their socket.)
pub(super) fn apply(state: &mut GatewayState<'_>, context: &mut Context<'_>) {
    let GatewayState { key, mesh, listeners, .. } = state;
    for listener in listeners {
        if listener.tls == ListenerTls::Mesh {
            show_svid(listener, mesh, context);
        }
        let Some(protocol) = listener.protocol else { continue };
        let name = (&listener.owner.clone(), listener.spec.name.as_str());
        let Some(choice) = policy::mesh(key, name, &context.policies) else { continue };
        match (protocol, choice.mode) {
            (_, ListenerMeshMode::Off) => {}
            (ListenerProtocol::Http | ListenerProtocol::Tcp, _) => {
                if let Some(reason) = &mesh.closed {
                    let target = policy::target_of(choice.by, key, &listener.owner);
                    let verdict = Verdict::no("Invalid", no_identity(reason));
                    context.policies.listener.verdict(choice.by, &target, verdict);
                }
            }
            (ListenerProtocol::Https | ListenerProtocol::TlsTerminate, _) => {
                ask(listener, key, mesh, &choice, context);
            }
            (ListenerProtocol::TlsPassthrough | ListenerProtocol::Udp, ListenerMeshMode::Strict) => {
                let what =
                    if protocol == ListenerProtocol::Udp { "takes datagrams" } else { "does not end TLS" };
                let message =
                    format!("listener {} {what}, so no client can show an SVID there", listener.spec.name);
                refuse(listener, key, choice.by, "Invalid", message, context);
            }
            (ListenerProtocol::TlsPassthrough | ListenerProtocol::Udp, _) => {}
        }
    }
}

fn show_svid(listener: &mut ListenerState<'_>, mesh: &GatewayMesh, context: &mut Context<'_>) {
    let Some(reason) = &mesh.closed else {
        listener.tls = ListenerTls::Svid(mesh.identity.clone());
        return;
    };
    let problem = Problem::error(
        &listener.owner,
        format!("{}.tls.options[\"diolkos.io/certificate\"]", listener.field),
        ("ResolvedRefs", "InvalidCertificateRef"),
        format!("the Gateway has no identity whose SVID could be shown: {reason}"),
        "give it one in mesh of its GatewayParameters",
    );
    listener.tls = ListenerTls::Closed(problem.explanation().into());
    listener.resolved.report(problem, &mut context.problems);
}

/// Clients of a listener that ends TLS. Two ways to judge a client's certificate exclude each other; where one of them
/// is `Strict`, nobody is let in until it is settled.
fn ask(
    listener: &mut ListenerState<'_>,
    gateway: &ObjectKey,
    mesh: &GatewayMesh,
    choice: &MeshChoice<'_>,
    context: &mut Context<'_>,
) {
    if let Some(reason) = &mesh.closed
        && choice.mode == ListenerMeshMode::Strict
    {
        refuse(listener, gateway, choice.by, "Invalid", no_identity(reason), context);
        return;
    }
    if listener.client_auth == ClientAuth::None {
        listener.set_by = choice.set_by(&listener.spec.name);
        if let Some(clients) = choice.clients(mesh) {
            listener.client_auth = ClientAuth::Mesh(clients);
        }
        return;
    }
    let message = format!(
        "spec.tls.frontend of {gateway} asks clients of listener {} for certificates of its own CAs; remove one of the two",
        listener.spec.name
    );
    if choice.mode == ListenerMeshMode::Strict {
        refuse(listener, gateway, choice.by, "Conflicted", message.clone(), context);
        listener.client_auth = ClientAuth::Closed { reason: message.into() };
    } else {
        let target = policy::target_of(choice.by, gateway, &listener.owner);
        context.policies.listener.verdict(choice.by, &target, Verdict::no("Conflicted", message));
    }
}

fn no_identity(reason: &str) -> String {
    format!("the Gateway has no identity, and so no bundle to judge mesh peers by: {reason}")
}

/// A listener whose clients must be mesh peers, and cannot be, serves nobody.
pub(super) fn refuse(
    listener: &mut ListenerState<'_>,
    gateway: &ObjectKey,
    by: &ListenerPolicy,
    reason: &'static str,
    message: String,
    context: &mut Context<'_>,
) {
    listener.tls = ListenerTls::Closed(format!("{}: {message}", by.key()).into());
    let target = policy::target_of(by, gateway, &listener.owner);
    context.policies.listener.verdict(by, &target, Verdict::no(reason, message));
}

/// Peers can be trusted only where they show who they are.
pub(super) fn warn_of_unknown_peers(
    socket: &Socket<'_>,
    connection: &ConnectionPolicy,
    problems: &mut Vec<Problem>,
) {
    let asks = connection.mesh.is_some() || socket.carries == Carries::Tls { mesh: true };
    let by = connection.set_by.get("forwarded.trustedPeers").filter(|_| !asks);
    if let Some(by) = by.filter(|_| !connection.forwarded.trusted_peers.is_empty()) {
        problems.push(Problem::warning(
            &ObjectKey::of::<ListenerPolicy>(&*by.namespace, &*by.name),
            "spec.forwarded.trustedPeers",
            format!(
                "no client on port {} of {} is asked for its SVID, so none is trusted",
                socket.port, socket.gateway
            ),
            "set mesh.mode for its listeners",
        ));
    }
}

/// Closes HTTP listeners that a policy asks to be strict, if the socket that they share with others is not. Their hosts
/// stay theirs: requests must not end up at a listener with a wider hostname.
pub(super) fn close_partial(
    listeners: &mut [&mut ListenerState<'_>],
    gateway: &ObjectKey,
    clients: Option<&MeshClients>,
    context: &mut Context<'_>,
) {
    if clients.is_some_and(|clients| clients.mode == MeshMode::Strict) {
        return;
    }
    for listener in listeners {
        let is_plain = matches!(listener.protocol, Some(ListenerProtocol::Http | ListenerProtocol::Tcp));
        let name = (&listener.owner.clone(), listener.spec.name.as_str());
        let choice = policy::mesh(gateway, name, &context.policies);
        if let Some(choice) = choice.filter(|choice| is_plain && choice.mode == ListenerMeshMode::Strict) {
            let message =
                format!("listener {} shares its port with others, which are not strict", listener.spec.name);
            refuse(listener, gateway, choice.by, "Invalid", message, context);
        }
    }
}
