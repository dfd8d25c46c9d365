//! What API and design name, but nothing implements yet: refused by name instead of ignored.

/// A field that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaterField {
    /// Kind of `diolkos.io/v1alpha1`.
    pub kind: &'static str,
    /// Path from the object's root, without list indexes: `spec.authentication.jwt`.
    pub path: &'static str,
    /// What is missing.
    pub message: &'static str,
    /// What to write meanwhile.
    pub mend: &'static str,
}

/// A kind that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaterKind {
    /// API group.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// What is missing.
    pub message: &'static str,
    /// What to write meanwhile.
    pub mend: &'static str,
}

/// The entry for an unknown field, if it is one that comes later. `path` may have list indexes, and may
/// point deeper than the entry: `spec.rateLimit.local[0].requests` finds `spec.rateLimit`.
pub fn later_field(kind: &str, path: &str) -> Option<&'static LaterField> {
    let plain = without_indexes(path);
    LATER.iter().find(|later| {
        later.kind == kind
            && plain.strip_prefix(later.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The entry for an unknown kind, if it is one that comes later.
pub fn later_kind(group: &str, kind: &str) -> Option<&'static LaterKind> {
    LATER_KINDS.iter().find(|later| later.group == group && later.kind == kind)
}

fn without_indexes(path: &str) -> String {
    let mut depth = 0_usize;
    path.chars()
        .filter(|&character| match character {
            '[' => {
                depth += 1;
                false
            }
            ']' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

const fn field(
    kind: &'static str,
    path: &'static str,
    (message, mend): (&'static str, &'static str),
) -> LaterField {
    LaterField { kind, path, message, mend }
}

const fn kind(
    group: &'static str,
    kind: &'static str,
    (message, mend): (&'static str, &'static str),
) -> LaterKind {
    LaterKind { group, kind, message, mend }
}

/// Never by an expression: a peer would be let in by how its name is spelled.
const PEERS: (&str, &str) =
    ("peers are not matched by expressions", "Name them by spiffeID, or by trustDomain and namespace");

const BACKEND_PEERS: (&str, &str) = ("a backend is known by exact SPIFFE IDs only", "Name each by spiffeID");

const EXTERNAL: (&str, &str) =
    ("this way to authenticate is not implemented yet", "Use authentication.external");

const RATE_LIMIT: (&str, &str) = ("rate limits are not implemented yet", "Remove it");

const PROVISION: (&str, &str) =
    ("provisioning in a cluster is not implemented yet", "Remove it: one process serves every Gateway");

const ISTIO: (&str, &str) = ("Istio's kinds are not implemented yet", "Say it with Gateway API");

/// The fields that come later.
pub const LATER: &[LaterField] = &[
    field("ListenerPolicy", "spec.mesh.peers.regex", PEERS),
    field("ListenerPolicy", "spec.forwarded.trustedPeers.regex", PEERS),
    field("BackendPolicy", "spec.mesh.peers.regex", BACKEND_PEERS),
    field("BackendPolicy", "spec.mesh.peers.trustDomain", BACKEND_PEERS),
    field("BackendPolicy", "spec.mesh.peers.namespace", BACKEND_PEERS),
    field("TrafficPolicy", "spec.authentication.jwt", EXTERNAL),
    field("TrafficPolicy", "spec.authentication.apiKey", EXTERNAL),
    field("TrafficPolicy", "spec.authentication.basic", EXTERNAL),
    field("TrafficPolicy", "spec.authentication.oidc", EXTERNAL),
    field(
        "TrafficPolicy",
        "spec.authorization",
        ("authorization rules are not implemented yet", "Decide in an authentication.external server"),
    ),
    field("TrafficPolicy", "spec.rateLimit", RATE_LIMIT),
    field(
        "TrafficPolicy",
        "spec.hedge",
        ("hedged requests are not implemented yet", "Use retry with timeouts.perTry"),
    ),
    field("TrafficPolicy", "spec.compression", ("compression is not implemented yet", "Remove it")),
    field("TrafficPolicy", "spec.fault", ("fault injection is not implemented yet", "Remove it")),
    field("TrafficPolicy", "spec.external", ("external processing is not implemented yet", "Remove it")),
    field("GatewayParameters", "spec.workload", PROVISION),
    field("GatewayParameters", "spec.service", PROVISION),
    field("GatewayParameters", "spec.rateLimitStore", RATE_LIMIT),
    field(
        "GatewayParameters",
        "spec.drain.profile",
        ("drain profiles are not implemented yet", "Write drain.delay and drain.deadline"),
    ),
    field(
        "GatewayParameters",
        "spec.telemetry.accessLog.filter",
        ("access-log filters are not implemented yet", "Remove it: every request is logged"),
    ),
    field(
        "GatewayParameters",
        "spec.telemetry.accessLog.redact",
        (
            "redaction lists are not implemented yet",
            "Remove it: only the headers of the standard form are logged",
        ),
    ),
    field(
        "GatewayParameters",
        "spec.telemetry.envoyMetricNames",
        ("Envoy's metric names are not implemented yet", "Remove it"),
    ),
];

/// The kinds that come later.
pub const LATER_KINDS: &[LaterKind] = &[
    kind(
        "diolkos.io",
        "ShardPlan",
        ("shards are not implemented yet", "Remove it: one process serves every Gateway"),
    ),
    kind("diolkos.io", "EgressPolicy", ("the egress gateway is not implemented yet", "Remove it")),
    kind(
        "gateway.networking.x-k8s.io",
        "XTelemetryPolicy",
        ("XTelemetryPolicy is not implemented yet", "Use spec.telemetry.tracing of GatewayParameters"),
    ),
    kind("networking.istio.io", "Gateway", ISTIO),
    kind("networking.istio.io", "VirtualService", ISTIO),
    kind("networking.istio.io", "DestinationRule", ISTIO),
    kind("networking.istio.io", "ServiceEntry", ISTIO),
    kind("networking.istio.io", "WorkloadEntry", ISTIO),
    kind("networking.istio.io", "WorkloadGroup", ISTIO),
    kind("networking.istio.io", "Sidecar", ISTIO),
    kind("networking.istio.io", "ProxyConfig", ISTIO),
    kind("security.istio.io", "AuthorizationPolicy", ISTIO),
    kind("security.istio.io", "RequestAuthentication", ISTIO),
    kind("telemetry.istio.io", "Telemetry", ISTIO),
];
