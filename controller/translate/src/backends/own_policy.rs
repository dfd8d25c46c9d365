//! BackendPolicy: balancing, health, bounds, how endpoints are connected to.

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::ObjectKey;
use api::own::{self, BackendPolicy, CheckSchedule, LoadBalancerAlgorithm, UpstreamProtocol};
use model::{ActiveHealth, Affinity, Algorithm, Backend, Outlier, Probe, SendProxyProtocol};

use super::Spoken;
use crate::context::Context;
use crate::policy::{Level, Levels, Picked};
use crate::routes::origin;

/// The policies of a port of a backend, from wide to narrow.
pub(super) fn of<'a>(context: &Context<'a>, key: &ObjectKey, port: &str) -> Levels<'a, BackendPolicy> {
    let [selected, named] = Level::whole(key);
    let port = Some(port).filter(|port| !port.is_empty());
    context
        .policies
        .backend
        .at([selected, named].into_iter().chain(port.map(|port| Level::section(key, port))))
}

/// What policies say that endpoints speak; none leaves it to the object itself.
pub(super) fn spoken(levels: &Levels<'_, BackendPolicy>) -> Option<Spoken> {
    match levels.pick(|policy| policy.spec.connection.as_ref()?.protocol)?.value {
        UpstreamProtocol::Auto => None,
        UpstreamProtocol::Http1 => Some(Spoken::Http1),
        UpstreamProtocol::Http2 => Some(Spoken::Http2),
    }
}

/// Sets what policies say about a backend.
pub(super) fn apply(levels: &Levels<'_, BackendPolicy>, backend: &mut Backend) {
    let mut merge = Merge { levels, backend };
    merge.load_balancer();
    merge.health();
    merge.circuit();
    merge.connection();
}

struct Merge<'m, 'a> {
    levels: &'m Levels<'a, BackendPolicy>,
    backend: &'m mut Backend,
}

impl<'a> Merge<'_, 'a> {
    /// What holds of a field; who said so is kept.
    fn pick<T>(&mut self, field: &str, get: impl Fn(&'a BackendPolicy) -> Option<T>) -> Option<T> {
        let Picked { value, by, .. } = self.levels.pick(get)?;
        self.backend.set_by.insert(field.into(), origin(&by.key()));
        Some(value)
    }

    fn load_balancer(&mut self) {
        let affinity = self.pick("loadBalancer.affinity", |policy| {
            affinity(policy.spec.load_balancer.as_ref()?.affinity.as_ref()?)
        });
        let algorithm =
            self.pick("loadBalancer.algorithm", |policy| policy.spec.load_balancer.as_ref()?.algorithm);
        let hashes =
            matches!(algorithm, Some(LoadBalancerAlgorithm::RingHash | LoadBalancerAlgorithm::Maglev));
        let balance = &mut self.backend.balance;
        balance.algorithm = match (algorithm, &affinity) {
            (Some(algorithm), _) => algorithm_of(algorithm),
            (None, Some(_)) => Algorithm::Maglev,
            (None, None) => balance.algorithm,
        };
        // Merged field by field, an affinity may meet an algorithm that has no use for it: the algorithm stays.
        balance.affinity = affinity.or_else(|| hashes.then_some(Affinity::ClientIp));
        let slow_start =
            self.pick("loadBalancer.slowStart", |policy| policy.spec.load_balancer.as_ref()?.slow_start);
        self.backend.balance.slow_start = slow_start.map_or(Duration::ZERO, Into::into);
        let prefer = self.pick("loadBalancer.zones.prefer", |policy| {
            policy.spec.load_balancer.as_ref()?.zones.as_ref()?.prefer
        });
        self.backend.balance.prefer_zone = prefer.unwrap_or(false);
        let failover = self.pick("loadBalancer.zones.failover", |policy| {
            policy.spec.load_balancer.as_ref()?.zones.as_ref()?.failover.as_ref()
        });
        let zones = failover.into_iter().flatten().map(|zone| zone.as_str().into());
        self.backend.balance.failover_zones = zones.collect();
    }

    fn health(&mut self) {
        self.backend.health.active =
            self.pick("health.active", |policy| active(policy.spec.health.as_ref()?.active.as_ref()?));
        fn outlier(policy: &BackendPolicy) -> Option<&own::Outlier> {
            policy.spec.health.as_ref()?.outlier.as_ref()
        }
        let consecutive =
            self.pick("health.outlier.consecutive5xx", |policy| outlier(policy)?.consecutive_5xx);
        let ejection = self.pick("health.outlier.ejection", |policy| outlier(policy)?.ejection);
        let percent =
            self.pick("health.outlier.maxEjectedPercent", |policy| outlier(policy)?.max_ejected_percent);
        let asked_for = self.levels.iter().any(|policy| outlier(policy).is_some());
        self.backend.health.outlier = asked_for.then(|| Outlier {
            consecutive_5xx: consecutive.unwrap_or(5),
            ejection: ejection.map_or(Duration::from_secs(30), Into::into),
            max_ejected_percent: percent.unwrap_or(50),
        });
    }

    fn circuit(&mut self) {
        let connections =
            self.pick("circuit.connections", |policy| policy.spec.circuit.as_ref()?.connections);
        let pending = self.pick("circuit.pending", |policy| policy.spec.circuit.as_ref()?.pending);
        let requests = self.pick("circuit.requests", |policy| policy.spec.circuit.as_ref()?.requests);
        let circuit = &mut self.backend.circuit;
        circuit.connections = connections.unwrap_or(circuit.connections);
        circuit.pending = pending.unwrap_or(circuit.pending);
        circuit.requests = requests.unwrap_or(circuit.requests);
    }

    fn connection(&mut self) {
        let connect =
            self.pick("connection.connectTimeout", |policy| policy.spec.connection.as_ref()?.connect_timeout);
        let idle =
            self.pick("connection.idleTimeout", |policy| policy.spec.connection.as_ref()?.idle_timeout);
        let requests =
            self.pick("connection.maxRequests", |policy| policy.spec.connection.as_ref()?.max_requests);
        let header =
            self.pick("connection.proxyProtocol", |policy| policy.spec.connection.as_ref()?.proxy_protocol);
        let _ = self.pick("connection.protocol", |policy| policy.spec.connection.as_ref()?.protocol);
        let connection = &mut self.backend.connection;
        connection.connect_timeout = connect.map_or(connection.connect_timeout, Into::into);
        connection.idle_timeout = idle.map_or(connection.idle_timeout, Into::into);
        connection.max_requests = requests.unwrap_or(connection.max_requests);
        connection.proxy_protocol = match header {
            None | Some(own::SendProxyProtocol::Off) => SendProxyProtocol::Off,
            Some(own::SendProxyProtocol::V1) => SendProxyProtocol::V1,
            Some(own::SendProxyProtocol::V2) => SendProxyProtocol::V2,
        };
    }
}

fn algorithm_of(wanted: LoadBalancerAlgorithm) -> Algorithm {
    match wanted {
        LoadBalancerAlgorithm::RoundRobin => Algorithm::RoundRobin,
        LoadBalancerAlgorithm::LeastRequest => Algorithm::LeastRequest,
        LoadBalancerAlgorithm::PeakEwma => Algorithm::PeakEwma,
        LoadBalancerAlgorithm::Random => Algorithm::Random,
        LoadBalancerAlgorithm::RingHash => Algorithm::RingHash,
        LoadBalancerAlgorithm::Maglev => Algorithm::Maglev,
    }
}

fn affinity(wanted: &own::Affinity) -> Option<Affinity> {
    if let Some(cookie) = &wanted.cookie {
        return Some(Affinity::Cookie {
            name: cookie.name.as_str().into(),
            path: cookie.path.as_deref().unwrap_or("/").into(),
            ttl: cookie.ttl.map(Into::into),
        });
    }
    let header =
        wanted.header.as_ref().map(|header| Affinity::Header(header.name.to_ascii_lowercase().into()));
    let query = wanted.query_parameter.as_ref().map(|query| Affinity::Query(query.name.as_str().into()));
    header.or(query).or_else(|| wanted.client_ip.as_ref().map(|_| Affinity::ClientIp))
}

fn active(wanted: &own::ActiveHealth) -> Option<ActiveHealth> {
    let text =
        |text: &Option<String>, default: &str| -> Arc<str> { text.as_deref().unwrap_or(default).into() };
    let (probe, schedule) = if let Some(http) = &wanted.http {
        let (path, host) = (text(&http.path, "/"), text(&http.host, ""));
        (Probe::Http { path, host, statuses: http.statuses.clone() }, &http.schedule)
    } else if let Some(grpc) = &wanted.grpc {
        (Probe::Grpc { service: text(&grpc.service, "") }, &grpc.schedule)
    } else {
        (Probe::Tcp, &wanted.tcp.as_ref()?.schedule)
    };
    let CheckSchedule { interval, timeout, healthy_threshold, unhealthy_threshold } = schedule;
    Some(ActiveHealth {
        probe,
        interval: interval.map_or(Duration::from_secs(5), Into::into),
        timeout: timeout.map_or(Duration::from_secs(1), Into::into),
        healthy_threshold: healthy_threshold.unwrap_or(1),
        unhealthy_threshold: unhealthy_threshold.unwrap_or(3),
    })
}
