//! `spec.addresses` of a Gateway: what was asked for, what it has (GEP-5093).

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::core::Service;
use api::gateway_api::{Gateway, GatewaySpecAddress, GatewayStatusAddress};
use api::{Object, ObjectKey};

use crate::context::Context;
use crate::inputs::Addressing;
use crate::problem::Problem;
use crate::status::Verdict;

/// What became of a Gateway's addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// What status reports.
    pub(super) reported: Vec<GatewayStatusAddress>,
    /// Where sockets are bound; empty: the proxy's default.
    pub(super) bound: Vec<IpAddr>,
    /// Condition `Accepted`: a type that is not supported.
    pub(super) supported: Verdict,
    /// Condition `Programmed`: an address that cannot be had.
    pub(super) usable: Verdict,
    /// Condition `AddressesAssigned`.
    pub(super) assigned: Verdict,
    /// Nothing of what was asked for can be had.
    pub(super) none: bool,
    /// So no socket is bound: a socket at the default address is not what was asked for. Behind a Service the
    /// sockets are the proxies' own, and a balancer that loses its address for a moment must not empty them.
    pub(super) withheld: bool,
}

/// An address that can be had.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Available {
    kind: &'static str,
    value: String,
    routability: &'static str,
}

impl Addresses {
    /// Decides about the addresses of a Gateway.
    pub(super) fn of(gateway: &Gateway, context: &mut Context<'_>) -> Self {
        match &context.index.inputs().addressing {
            Addressing::Bind { default, local } => bind(gateway, default, local.as_ref(), context),
            Addressing::Service => serve(gateway, context),
        }
    }

    /// Whether sockets of the two would be bound at one place. A default beside a specific address is none: the
    /// specific one gets its connections.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        if self.bound.is_empty() || other.bound.is_empty() {
            return self.bound.is_empty() && other.bound.is_empty();
        }
        self.bound.iter().any(|address| other.bound.contains(address))
    }
}

/// One process binds the sockets: an address can be had if the machine has it.
fn bind(
    gateway: &Gateway,
    default: &[IpAddr],
    local: Option<&BTreeSet<IpAddr>>,
    context: &mut Context<'_>,
) -> Addresses {
    let mut result = Addresses::default();
    if gateway.spec.addresses.is_empty() {
        result.reported = default.iter().map(|address| reported(IP, &address.to_string(), "")).collect();
        result.bound = default.iter().copied().filter(|address| !address.is_unspecified()).collect();
        return result;
    }
    let mut spare = default.iter();
    let mut ask = Ask::new(gateway);
    for (position, address) in gateway.spec.addresses.iter().enumerate() {
        if !ask.is_supported(position, address, &[IP], &mut result, context) {
            continue;
        }
        let possible = |ip: &IpAddr| ip.is_unspecified() || local.is_none_or(|local| local.contains(ip));
        let ip = match &address.value {
            _ if !meets(address, "") => None,
            Some(value) if !value.is_empty() => value.parse().ok().filter(possible),
            _ => spare.next().copied(),
        };
        let Some(ip) = ip else {
            ask.miss(position, address, &mut result, context);
            continue;
        };
        result.reported.push(reported(
            IP,
            &ip.to_string(),
            address.routability.as_deref().unwrap_or_default(),
        ));
        result.bound.push(ip);
    }
    ask.conclude(&mut result);
    result.withheld = result.none;
    result
}

/// A Service gives the addresses: the balancer's, those that it was told to answer at, its ClusterIP.
fn serve(gateway: &Gateway, context: &mut Context<'_>) -> Addresses {
    let mut available = available(gateway, context);
    let mut result = Addresses::default();
    if gateway.spec.addresses.is_empty() {
        let outside = available.iter().any(|address| address.routability.is_empty());
        available.retain(|address| address.routability.is_empty() || !outside);
        if available.is_empty() {
            let message = "no address has been assigned to the Gateway's Service yet";
            result.none = true;
            result.usable.fail("AddressNotAssigned", message);
            result.assigned.fail("NotAssigned", message);
        }
        let all = available.iter().map(|a| reported(a.kind, &a.value, a.routability));
        result.reported = all.collect();
        return result;
    }
    let mut ask = Ask::new(gateway);
    for (position, address) in gateway.spec.addresses.iter().enumerate() {
        if !ask.is_supported(position, address, &[IP, HOSTNAME], &mut result, context) {
            continue;
        }
        let wanted = address.value.as_deref().filter(|value| !value.is_empty());
        let found = available.iter().position(|candidate| {
            candidate.kind == address.type_
                && wanted.is_none_or(|value| same_value(value, &candidate.value))
                && meets(address, candidate.routability)
        });
        match found {
            Some(index) => {
                let found = available.remove(index);
                let routability = match address.routability.as_deref() {
                    Some(SENTINEL) => SENTINEL,
                    _ => found.routability,
                };
                result.reported.push(reported(found.kind, &found.value, routability));
            }
            None => ask.miss(position, address, &mut result, context),
        }
    }
    ask.conclude(&mut result);
    result
}

/// Every address of the Services that the controller keeps for a Gateway, the balancer's first.
fn available(gateway: &Gateway, context: &Context<'_>) -> Vec<Available> {
    let owned = |service: &&Service| {
        service.namespace() == gateway.namespace()
            && service.metadata.owner_references.iter().flatten().any(|owner| {
                owner.kind == Gateway::KIND
                    && owner.name == gateway.name()
                    && owner.api_version.starts_with(Gateway::GROUP)
                    && gateway.metadata.uid.as_ref().is_none_or(|uid| *uid == owner.uid)
            })
    };
    let mut outside = Vec::new();
    let mut inside = Vec::new();
    for service in context.index.all::<Service>().filter(owned) {
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        for ingress in status.iter().flat_map(|balancer| balancer.ingress.iter().flatten()) {
            if let Some(ip) = &ingress.ip {
                outside.push(Available { kind: IP, value: ip.clone(), routability: "" });
            } else if let Some(hostname) = &ingress.hostname {
                outside.push(Available { kind: HOSTNAME, value: hostname.clone(), routability: "" });
            }
        }
        let Some(spec) = &service.spec else { continue };
        for ip in spec.external_ips.iter().flatten() {
            outside.push(Available { kind: IP, value: ip.clone(), routability: "" });
        }
        for ip in spec.cluster_ips.iter().flatten().filter(|ip| *ip != "None" && !ip.is_empty()) {
            inside.push(Available { kind: IP, value: ip.clone(), routability: CLUSTER });
        }
    }
    outside.extend(inside);
    let mut distinct: Vec<Available> = Vec::new();
    for address in outside {
        if !distinct.iter().any(|known| known.kind == address.kind && known.value == address.value) {
            distinct.push(address);
        }
    }
    distinct
}

/// The bookkeeping of one Gateway's requests.
struct Ask {
    gateway: ObjectKey,
    asked: usize,
    missed: Vec<String>,
}

impl Ask {
    fn new(gateway: &Gateway) -> Self {
        Self { gateway: gateway.key(), asked: gateway.spec.addresses.len(), missed: Vec::new() }
    }

    fn is_supported(
        &mut self,
        position: usize,
        address: &GatewaySpecAddress,
        kinds: &[&str],
        result: &mut Addresses,
        context: &mut Context<'_>,
    ) -> bool {
        if kinds.contains(&address.type_.as_str()) {
            return true;
        }
        let problem = Problem::error(
            &self.gateway,
            format!("spec.addresses[{position}].type"),
            ("Accepted", "UnsupportedAddress"),
            format!("addresses of type {} are not supported here", address.type_),
            format!("use {}", kinds.join(" or ")),
        );
        result.supported.report(problem, &mut context.problems);
        self.missed.push(name(address));
        false
    }

    fn miss(
        &mut self,
        position: usize,
        address: &GatewaySpecAddress,
        result: &mut Addresses,
        context: &mut Context<'_>,
    ) {
        let field = format!("spec.addresses[{position}]");
        let routability = address.routability.as_deref().unwrap_or_default();
        let problem = if !matches!(routability, "" | CLUSTER | SENTINEL) {
            let message = format!("no address with routability {routability} can be had");
            Problem::error(&self.gateway, field, ("Programmed", "AddressNotAssigned"), message, "remove it")
        } else if address.value.as_ref().is_some_and(|value| !value.is_empty()) {
            let message = format!("{} cannot be used here", name(address));
            let mend = "name an address that this gateway has, or none";
            Problem::error(&self.gateway, field, ("Programmed", "AddressNotUsable"), message, mend)
        } else {
            let message = format!("no free address of type {} has been assigned", address.type_);
            Problem::error(&self.gateway, field, ("Programmed", "AddressNotAssigned"), message, "")
        };
        result.usable.report(problem, &mut context.problems);
        self.missed.push(name(address));
    }

    fn conclude(self, result: &mut Addresses) {
        if self.missed.is_empty() {
            return;
        }
        result.none = self.missed.len() == self.asked;
        let reason = if result.none { "NotAssigned" } else { "PartiallyAssigned" };
        result.assigned.fail(reason, format!("not assigned: {}", self.missed.join(", ")));
    }
}

/// Whether an address of `routability` is what was asked for. GEP-5093: an empty wish takes any.
fn meets(address: &GatewaySpecAddress, routability: &str) -> bool {
    match address.routability.as_deref() {
        None | Some("") => true,
        // Reserved for conformance: it promises nothing, so every address has it.
        Some(SENTINEL) => true,
        Some(wanted) => wanted == routability,
    }
}

fn same_value(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn name(address: &GatewaySpecAddress) -> String {
    match &address.value {
        Some(value) if !value.is_empty() => format!("{} {value}", address.type_),
        _ => address.type_.clone(),
    }
}

fn reported(kind: &str, value: &str, routability: &str) -> GatewayStatusAddress {
    GatewayStatusAddress {
        type_: kind.to_owned(),
        value: value.to_owned(),
        routability: Some(routability.to_owned()),
    }
}

const IP: &str = "IPAddress";
const HOSTNAME: &str = "Hostname";
const CLUSTER: &str = "Cluster";
const SENTINEL: &str = "testing.x-k8s.io/sentinel";
