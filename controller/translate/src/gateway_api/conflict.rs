//! Listeners that cannot be told apart: of one Gateway with its ListenerSets, and of several Gateways.

use std::collections::BTreeMap;

use model::HostPattern;

use super::gateway::GatewayState;
use super::listener::{ListenerProtocol, ListenerState};
use crate::context::Context;
use crate::problem::Problem;

/// Why a listener is conflicted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Conflict {
    /// `HostnameConflict` or `ProtocolConflict`.
    pub(super) reason: &'static str,
    /// With what, for people.
    pub(super) message: String,
}

/// What a listener claims.
struct Claim {
    /// Index into the merged list.
    listener: usize,
    socket: (u16, bool),
    protocol: ListenerProtocol,
    host: HostPattern,
}

/// Marks conflicted listeners of a merged list: those of the Gateway first, then ListenerSets by age and name.
///
/// Between objects the one of higher precedence stands (GEP-1713). Of those of one object that are left, every
/// listener of a conflict is out (the API: an implementation must not pick a winner), but it keeps its claim:
/// a mistake of a Gateway gives its hostnames to no ListenerSet.
pub(super) fn mark(listeners: &mut [ListenerState<'_>], context: &mut Context<'_>) {
    let mut standing = Standing::default();
    let mut first = 0;
    while let Some(owner) = listeners.get(first).map(|listener| listener.owner.clone()) {
        let own = listeners.iter().skip(first).take_while(|listener| listener.owner == owner).count();
        let mut claims: Vec<Claim> = Vec::new();
        for listener in first..first + own {
            let Some(claim) = listeners.get(listener).and_then(|state| claim(listener, state)) else {
                continue;
            };
            match standing.clash(&claim) {
                Some((rival, reason)) => collide(listeners, rival, listener, reason, context),
                None => claims.push(claim),
            }
        }
        for (position, claim) in claims.iter().enumerate() {
            for rival in claims.iter().take(position) {
                if let Some(reason) = clash(rival, claim) {
                    collide(listeners, rival.listener, claim.listener, reason, context);
                }
            }
        }
        claims.into_iter().for_each(|claim| standing.add(claim));
        first += own;
    }
}

/// The claims of earlier objects, by socket: a Gateway may have thousands of ListenerSets.
#[derive(Default)]
struct Standing(BTreeMap<(u16, bool), Claims>);

#[derive(Default)]
struct Claims {
    protocols: Vec<(ListenerProtocol, usize)>,
    hosts: BTreeMap<HostPattern, usize>,
}

impl Standing {
    /// What is in the way of a claim: index and reason.
    fn clash(&self, claim: &Claim) -> Option<(usize, &'static str)> {
        let claims = self.0.get(&claim.socket)?;
        let foreign =
            claims.protocols.iter().find(|(protocol, _)| !protocol.shares_port_with(claim.protocol));
        foreign
            .map(|(_, listener)| (*listener, PROTOCOL))
            .or_else(|| claims.hosts.get(&claim.host).map(|listener| (*listener, HOSTNAME)))
    }

    fn add(&mut self, claim: Claim) {
        let claims = self.0.entry(claim.socket).or_default();
        if !claims.protocols.iter().any(|(protocol, _)| *protocol == claim.protocol) {
            claims.protocols.push((claim.protocol, claim.listener));
        }
        claims.hosts.entry(claim.host).or_insert(claim.listener);
    }
}

fn claim(listener: usize, state: &ListenerState<'_>) -> Option<Claim> {
    let protocol = state.protocol?;
    let socket = (state.spec.port, protocol == ListenerProtocol::Udp);
    Some(Claim { listener, socket, protocol, host: state.host.clone() })
}

fn clash(a: &Claim, b: &Claim) -> Option<&'static str> {
    if a.socket != b.socket {
        None
    } else if !a.protocol.shares_port_with(b.protocol) {
        Some(PROTOCOL)
    } else if a.host == b.host {
        Some(HOSTNAME)
    } else {
        None
    }
}

fn collide(
    listeners: &mut [ListenerState<'_>],
    earlier: usize,
    later: usize,
    reason: &'static str,
    context: &mut Context<'_>,
) {
    let Ok([earlier, later]) = listeners.get_disjoint_mut([earlier, later]) else { return };
    let same_owner = earlier.owner == later.owner;
    lose(later, earlier, same_owner, reason, context);
    if same_owner {
        lose(earlier, later, true, reason, context);
    }
}

/// Says to the owner of `listener` that `rival` is in its way. Another object is not named: its owner may not
/// want to be known (the API asks for caution).
fn lose(
    listener: &mut ListenerState<'_>,
    rival: &ListenerState<'_>,
    same_owner: bool,
    reason: &'static str,
    context: &mut Context<'_>,
) {
    if listener.conflict.is_some() {
        return;
    }
    let port = listener.spec.port;
    let with = if same_owner {
        format!("listener {}", rival.spec.name)
    } else {
        "a listener of higher precedence on the same Gateway".to_owned()
    };
    let (message, mend) = if reason == HOSTNAME {
        (
            format!("port {port} and hostname {} are those of {with}", listener.host),
            "use another hostname or port",
        )
    } else {
        let protocol = &listener.spec.protocol;
        (format!("port {port} cannot speak {protocol} besides the protocol of {with}"), "use another port")
    };
    let problem = Problem::error(&listener.owner, &listener.field, ("Conflicted", reason), message, mend);
    listener.conflict = Some(Conflict { reason, message: problem.explanation() });
    context.problems.push(problem);
}

/// Where several Gateways share the sockets of one process: an address, a port and a transport belong to the
/// oldest Gateway that asks for them; listeners of the others there are not accepted.
pub(super) fn share_sockets(gateways: &mut [GatewayState<'_>], context: &mut Context<'_>) {
    let mut taken: BTreeMap<(u16, bool), Vec<usize>> = BTreeMap::new();
    for position in 0..gateways.len() {
        let (before, rest) = gateways.split_at_mut(position);
        let Some(gateway) = rest.first_mut().filter(|gateway| gateway.serves()) else { continue };
        let mut own = Vec::new();
        for listener in &mut gateway.listeners {
            let Some(protocol) = listener.protocol.filter(|_| listener.conflict.is_none()) else { continue };
            let socket = (listener.spec.port, protocol == ListenerProtocol::Udp);
            let owners = taken.get(&socket).map(Vec::as_slice).unwrap_or_default();
            let owner = owners
                .iter()
                .filter_map(|&owner| before.get(owner))
                .find(|owner| owner.addresses.overlap(&gateway.addresses));
            match owner {
                Some(owner) => {
                    let problem = Problem::error(
                        &listener.owner,
                        format!("{}.port", listener.field),
                        ("Accepted", "PortUnavailable"),
                        format!(
                            "port {} belongs to {}, which is older, on the same address",
                            socket.0, owner.key
                        ),
                        format!("use another port, or give {} spec.addresses of its own", gateway.key),
                    );
                    listener.accepted.report(problem, &mut context.problems);
                }
                None => own.push(socket),
            }
        }
        for socket in own {
            taken.entry(socket).or_default().push(position);
        }
    }
}

const HOSTNAME: &str = "HostnameConflict";
const PROTOCOL: &str = "ProtocolConflict";
