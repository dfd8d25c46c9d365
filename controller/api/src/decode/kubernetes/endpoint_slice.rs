//! EndpointSlice.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::service::{one_of, port_number};
use super::{default, list, text};
use crate::decode::format::{is_dns_label, is_dns_subdomain, is_qualified_name};
use crate::decode::problem::Reason;
use crate::decode::schema;
use crate::decode::structure::{Report, quoted};

/// Most endpoints in one slice, and most addresses of one endpoint.
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;

pub(super) fn check(report: &mut Report, object: &mut Map<String, Value>) {
    if let Some(ports) = object.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            default(port, "name", "");
            default(port, "protocol", "TCP");
        }
    }
    default(object, "endpoints", Value::Array(Vec::new()));
    let address_type = text(object, "addressType").unwrap_or_default();
    one_of(report, "addressType", Some(address_type), &["FQDN", "IPv4", "IPv6"]);
    endpoints(report, list(object, "endpoints"), address_type);
    ports(report, list(object, "ports"));
}

fn endpoints(report: &mut Report, endpoints: &[Value], address_type: &str) {
    if endpoints.len() > MAX_ENDPOINTS {
        let message = format!("must have at most {MAX_ENDPOINTS} entries, has {}", endpoints.len());
        report.add_at("endpoints", Reason::OutOfRange, message, "Split the slice");
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{index}]");
        let endpoint = schema::object(Some(endpoint));
        let addresses = list(endpoint, "addresses");
        if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
            let message = format!("must have 1 to {MAX_ADDRESSES} entries, has {}", addresses.len());
            report.add_at(&format!("{path}.addresses"), Reason::OutOfRange, message, "");
        }
        for (index, address) in addresses.iter().enumerate() {
            let address = address.as_str().unwrap_or_default();
            let good = match address_type {
                "IPv4" => address.parse::<Ipv4Addr>().is_ok(),
                "IPv6" => address.parse::<Ipv6Addr>().is_ok(),
                "FQDN" => is_dns_subdomain(address.trim_end_matches('.')),
                // The type itself is what is wrong.
                _ => true,
            };
            if !good {
                let message = format!("{} is not of addressType {address_type}", quoted(address));
                report.add_at(&format!("{path}.addresses[{index}]"), Reason::Pattern, message, "");
            }
        }
        if let Some(host) = text(endpoint, "hostname").filter(|host| !is_dns_label(host)) {
            report.add_at(
                &format!("{path}.hostname"),
                Reason::Pattern,
                format!("{} is not a DNS label", quoted(host)),
                "",
            );
        }
    }
}

fn ports(report: &mut Report, ports: &[Value]) {
    let mut names = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("ports[{index}]");
        let port = schema::object(Some(port));
        port_number(report, &format!("{path}.port"), port.get("port"));
        one_of(report, &format!("{path}.protocol"), text(port, "protocol"), &["SCTP", "TCP", "UDP"]);
        let name = text(port, "name").unwrap_or_default();
        if !name.is_empty() && !is_dns_label(name) {
            report.add_at(
                &format!("{path}.name"),
                Reason::Metadata,
                format!("{} is not a DNS label", quoted(name)),
                "",
            );
        } else if !names.insert(name) {
            report.add_at(
                &format!("{path}.name"),
                Reason::Duplicate,
                format!("an earlier port is named {name:?}"),
                "",
            );
        }
        if let Some(protocol) = text(port, "appProtocol").filter(|protocol| !is_qualified_name(protocol)) {
            let message = format!("{} is not a protocol name", quoted(protocol));
            report.add_at(&format!("{path}.appProtocol"), Reason::Pattern, message, "");
        }
    }
}
