//! TLSRoute, TCPRoute, UDPRoute: connections and datagrams to backends by weight.

use std::time::Duration;

use api::gateway_api::{BackendObjectReference, L4RouteRule};
use model::{L4Rule, WeightedBackend};

use super::{Fault, RouteOutcome, Site};
use crate::backends::Wire;
use crate::status::Verdict;

/// Compiles the rules of a route of connections. There can be one only: nothing tells several apart.
pub(super) fn compile(rules: &[L4RouteRule], wire: Wire, site: &mut Site<'_, '_>) -> RouteOutcome {
    let mut outcome = RouteOutcome::default();
    let Some((rule, rest)) = rules.split_first() else {
        let fault = Fault::unsupported("spec.rules", "must have a rule");
        site.report(&fault, "Accepted");
        outcome.accepted = Verdict::no(fault.reason.as_str(), fault.to_string());
        return outcome;
    };
    if !rest.is_empty() {
        let fault = Fault::unsupported("spec.rules[1]", "nothing tells a second rule apart from the first");
        let fault = fault.mend("put its backendRefs into the first rule");
        site.report(&fault, "PartiallyInvalid");
        outcome.partially_invalid = Some(format!("Dropped Rule 1 ({fault})"));
    }
    let mut backends = Vec::new();
    for (index, reference) in rule.backend_refs.iter().enumerate() {
        let field = format!("spec.rules[0].backendRefs[{index}]");
        let backend = site.backend(&BackendObjectReference::from(reference), wire, &field);
        backends.push(WeightedBackend { weight: reference.weight, backend, filters: Vec::new() });
    }
    let idle_timeout = if wire == Wire::Udp { UDP_IDLE_TIMEOUT } else { TCP_IDLE_TIMEOUT };
    outcome.l4 = Some(L4Rule { origin: site.origin.clone(), backends, idle_timeout });
    outcome
}

/// As long as Envoy's default; long enough for databases' connection pools.
const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// As long as Envoy's default for UDP sessions.
const UDP_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
