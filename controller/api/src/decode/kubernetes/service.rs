//! Service, and the ports of a Pod.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{default, list, text};
use crate::decode::format::{is_dns_label, is_dns_subdomain, is_ip, is_qualified_name};
use crate::decode::problem::Reason;
use crate::decode::schema;
use crate::decode::structure::{Report, quoted};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Fields of a Service's spec with a fixed set of values.
const VALUES: [(&str, &[&str]); 6] = [
    ("type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
    ("sessionAffinity", &["ClientIP", "None"]),
    ("externalTrafficPolicy", &["Cluster", "Local"]),
    ("internalTrafficPolicy", &["Cluster", "Local"]),
    ("ipFamilyPolicy", &["PreferDualStack", "RequireDualStack", "SingleStack"]),
    ("trafficDistribution", &["PreferClose", "PreferSameNode", "PreferSameZone"]),
];

pub(super) fn check(report: &mut Report, object: &mut Map<String, Value>) {
    let spec = object.entry("spec").or_insert_with(|| Value::Object(Map::new()));
    let Some(spec) = spec.as_object_mut() else { return };
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    if let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            default(port, "protocol", "TCP");
            if matches!(port.get("targetPort"), None | Some(Value::Null)) {
                let number = port.get("port").cloned().unwrap_or_default();
                port.insert("targetPort".to_owned(), number);
            }
        }
    }
    for (name, values) in VALUES {
        one_of(report, &format!("spec.{name}"), text(spec, name), values);
    }
    addresses(report, spec);
    ports(report, spec);
}

/// Ports of containers, and the addresses that a status gives.
pub(super) fn pod(report: &mut Report, object: &mut Map<String, Value>) {
    let spec = schema::object(object.get("spec"));
    let mut names = HashSet::new();
    for (index, container) in list(spec, "containers").iter().enumerate() {
        let path = format!("spec.containers[{index}]");
        let container = schema::object(Some(container));
        let name = text(container, "name").unwrap_or_default();
        if !is_dns_label(name) {
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
                format!("an earlier container is named {name:?}"),
                "",
            );
        }
        for (index, port) in list(container, "ports").iter().enumerate() {
            let path = format!("{path}.ports[{index}]");
            let port = schema::object(Some(port));
            port_number(report, &format!("{path}.containerPort"), port.get("containerPort"));
            one_of(report, &format!("{path}.protocol"), text(port, "protocol"), &PROTOCOLS);
        }
    }
    let status = schema::object(object.get("status"));
    if let Some(address) = text(status, "podIP").filter(|address| !is_ip(address)) {
        report.add_at(
            "status.podIP",
            Reason::Pattern,
            format!("{} is not an IP address", quoted(address)),
            "",
        );
    }
}

fn addresses(report: &mut Report, spec: &Map<String, Value>) {
    let is_external_name = text(spec, "type") == Some("ExternalName");
    let cluster_ip = text(spec, "clusterIP").unwrap_or_default();
    if !matches!(cluster_ip, "" | "None") && !is_ip(cluster_ip) {
        let mend = "An IP address, None or nothing";
        report.add_at(
            "spec.clusterIP",
            Reason::Pattern,
            format!("{} is not an IP address", quoted(cluster_ip)),
            mend,
        );
    }
    for name in ["clusterIPs", "externalIPs"] {
        for (index, address) in list(spec, name).iter().enumerate() {
            let address = address.as_str().unwrap_or_default();
            let headless = name == "clusterIPs" && address == "None";
            if !headless && !is_ip(address) {
                let message = format!("{} is not an IP address", quoted(address));
                report.add_at(&format!("spec.{name}[{index}]"), Reason::Pattern, message, "");
            }
        }
    }
    for (index, family) in list(spec, "ipFamilies").iter().enumerate() {
        one_of(report, &format!("spec.ipFamilies[{index}]"), family.as_str(), &["IPv4", "IPv6"]);
    }
    let external_name = text(spec, "externalName").unwrap_or_default();
    match (is_external_name, external_name) {
        (true, "") => report.add_at(
            "spec.externalName",
            Reason::MissingField,
            "is required for a Service of type ExternalName",
            "",
        ),
        (true, name) if !is_dns_subdomain(name.trim_end_matches('.')) => {
            report.add_at(
                "spec.externalName",
                Reason::Pattern,
                format!("{} is not a DNS name", quoted(name)),
                "",
            );
        }
        (true, _) if !matches!(cluster_ip, "" | "None") => {
            report.add_at(
                "spec.clusterIP",
                Reason::Rule,
                "must be absent for a Service of type ExternalName",
                "Remove it",
            );
        }
        _ => {}
    }
}

fn ports(report: &mut Report, spec: &Map<String, Value>) {
    let ports = list(spec, "ports");
    let may_be_empty = text(spec, "type") == Some("ExternalName") || text(spec, "clusterIP") == Some("None");
    if ports.is_empty() && !may_be_empty {
        report.add_at(
            "spec.ports",
            Reason::MissingField,
            "is required, but for headless and ExternalName Services",
            "Add a port",
        );
    }
    let mut names = HashSet::new();
    let mut numbers = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let port = schema::object(Some(port));
        port_number(report, &format!("{path}.port"), port.get("port"));
        // What was filled in from the port has been looked at.
        if port.get("targetPort") != port.get("port") {
            port_target(report, &format!("{path}.targetPort"), port.get("targetPort"));
        }
        one_of(report, &format!("{path}.protocol"), text(port, "protocol"), &PROTOCOLS);
        let name = text(port, "name").unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            report.add_at(
                &format!("{path}.name"),
                Reason::MissingField,
                "is required where there are several ports",
                "",
            );
        } else if !name.is_empty() && !is_dns_label(name) {
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
        if !numbers.insert((text(port, "protocol"), port.get("port").and_then(Value::as_i64))) {
            report.add_at(&path, Reason::Duplicate, "an earlier port has the same protocol and number", "");
        }
        if let Some(protocol) = text(port, "appProtocol").filter(|protocol| !is_qualified_name(protocol)) {
            let message = format!("{} is not a protocol name", quoted(protocol));
            report.add_at(&format!("{path}.appProtocol"), Reason::Pattern, message, "");
        }
        if let Some(number) =
            port.get("nodePort").and_then(Value::as_i64).filter(|number| !(0..=65535).contains(number))
        {
            report.add_at(
                &format!("{path}.nodePort"),
                Reason::OutOfRange,
                format!("must be a port, is {number}"),
                "",
            );
        }
    }
}

/// A port's number, 1 to 65535.
pub(super) fn port_number(report: &mut Report, path: &str, port: Option<&Value>) {
    if let Some(number) = port.and_then(Value::as_i64).filter(|number| !(1..=65535).contains(number)) {
        report.add_at(path, Reason::OutOfRange, format!("must be between 1 and 65535, is {number}"), "");
    }
}

fn port_target(report: &mut Report, path: &str, port: Option<&Value>) {
    match port {
        Some(Value::String(name)) => {
            // RFC 6335 §5.1: at most 15 characters, at least one letter.
            let good = name.len() <= 15
                && is_dns_label(name)
                && !name.contains("--")
                && name.bytes().any(|byte| byte.is_ascii_lowercase());
            if !good {
                let mend = "A container port's name, or a number without quotes";
                report.add_at(path, Reason::Pattern, format!("{} is not a port name", quoted(name)), mend);
            }
        }
        other => port_number(report, path, other),
    }
}

/// A text that has to be one of `values`, if it is there.
pub(super) fn one_of(report: &mut Report, path: &str, text: Option<&str>, values: &[&str]) {
    if let Some(text) = text.filter(|text| !values.contains(text)) {
        report.add_at(
            path,
            Reason::Enum,
            format!("must be one of {}, is {}", values.join(", "), quoted(text)),
            "",
        );
    }
}
