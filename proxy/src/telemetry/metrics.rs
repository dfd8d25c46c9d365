//! Metrics: handles that are resolved once and recorded into without a lookup, and their text form.
//!
//! Names others already consume are Istio's; everything else is `diolkos_*`. The number of series is bounded:
//! what does not fit is counted under the label value `overflow`.

mod cells;
mod connection;
mod encode;
mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use model::{BackendName, ListenerName, Origin};
use prometheus_client::collector::Collector;
use prometheus_client::registry::Registry;

use crate::overload::{Overload, ShedReason};
use crate::telemetry::access_log::AccessLog;

pub use cells::{Counter, Gauge, GaugeGuard, set_core};
pub use connection::{BackendMetrics, BackendSample, ListenerMetrics, TcpMetrics, TlsFailure, UdpDrop};
pub use request::{RequestRecord, RouteMetrics};

use request::SeriesBudget;

/// All metrics of a proxy. Share it by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    source: SourceLabels,
    cores: usize,
    started: Instant,
    routes: Families<RouteLabels, RouteMetrics>,
    tcp: Families<RouteLabels, TcpMetrics>,
    listeners: Families<ListenerName, ListenerMetrics>,
    backends: OnceLock<BackendSource>,
    identities: OnceLock<IdentitySource>,
    unrouted: Arc<RouteMetrics>,
    budget: Arc<SeriesBudget>,
    shed: [Counter; ShedReason::ALL.len()],
    overload: OnceLock<Arc<Overload>>,
    access_log: OnceLock<AccessLog>,
    /// Generation of the snapshot that is served.
    pub snapshot_generation: Gauge,
    /// Snapshots that could not be compiled.
    pub compile_errors: Counter,
    /// Spans that were exported.
    pub spans_exported: Counter,
    /// Spans that were dropped: the queue was full or the collector did not take them.
    pub spans_dropped: Counter,
}

/// Calls back with each backend that there is at the moment.
struct BackendSource(Box<EachBackend>);

type EachBackend = dyn Fn(&mut dyn FnMut(BackendSample<'_>)) + Send + Sync;

impl fmt::Debug for BackendSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendSource")
    }
}

/// Gives the metrics that another module keeps.
struct IdentitySource(Box<Collectors>);

type Collectors = dyn Fn() -> Vec<Box<dyn Collector>> + Send + Sync;

impl fmt::Debug for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentitySource")
    }
}

/// Who the proxy itself is, for Istio's `source_*` labels; `unknown` where not told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceLabels {
    /// Kubernetes cluster.
    pub cluster: Arc<str>,
    /// Namespace of the proxy's pod.
    pub namespace: Arc<str>,
    /// Its Deployment.
    pub workload: Arc<str>,
    /// Its canonical service.
    pub service: Arc<str>,
    /// Its canonical revision.
    pub revision: Arc<str>,
}

impl Default for SourceLabels {
    fn default() -> Self {
        let unknown = || Arc::from("unknown");
        Self {
            cluster: unknown(),
            namespace: unknown(),
            workload: unknown(),
            service: unknown(),
            revision: unknown(),
        }
    }
}

/// What is the same for all requests that one rule sends to one backend.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct RouteLabels {
    route: Arc<str>,
    backend: Arc<str>,
    service_name: Arc<str>,
    service_namespace: Arc<str>,
}

impl RouteLabels {
    /// Labels of a rule (its label `NAMESPACE/NAME/RULE`) and, unless it answers itself, of a backend.
    pub fn new(route: &Arc<str>, backend: Option<(&BackendName, &Origin)>) -> Self {
        let unknown = || Arc::from(UNKNOWN);
        match backend {
            Some((name, origin)) => Self {
                route: route.clone(),
                backend: name.as_str().into(),
                service_name: origin.name.clone(),
                service_namespace: origin.namespace.clone(),
            },
            None => Self {
                route: route.clone(),
                backend: unknown(),
                service_name: unknown(),
                service_namespace: unknown(),
            },
        }
    }

    fn all(value: &str) -> Self {
        let value: Arc<str> = value.into();
        Self {
            route: value.clone(),
            backend: value.clone(),
            service_name: value.clone(),
            service_namespace: value,
        }
    }
}

impl Metrics {
    /// Metrics for a proxy of `cores` workers.
    pub fn new(cores: usize, source: SourceLabels) -> Arc<Self> {
        let budget = Arc::new(SeriesBudget::new(cores, MAX_SERIES, RouteLabels::all("overflow")));
        let unrouted = Arc::new(RouteMetrics::new(RouteLabels::all(UNKNOWN), budget.clone()));
        Arc::new(Self {
            source,
            cores,
            started: Instant::now(),
            routes: Families::new(MAX_SERIES),
            tcp: Families::new(MAX_SERIES),
            listeners: Families::new(MAX_SERIES),
            backends: OnceLock::new(),
            identities: OnceLock::new(),
            unrouted,
            budget,
            shed: Default::default(),
            overload: OnceLock::new(),
            access_log: OnceLock::new(),
            snapshot_generation: Gauge::default(),
            compile_errors: Counter::default(),
            spans_exported: Counter::default(),
            spans_dropped: Counter::default(),
        })
    }

    /// Who the proxy itself is.
    pub fn source(&self) -> &SourceLabels {
        &self.source
    }

    /// Shows the state of these at each scrape. Only the first call counts.
    pub fn observe(&self, overload: &Arc<Overload>, access_log: &AccessLog) {
        let _ = self.overload.set(overload.clone());
        let _ = self.access_log.set(access_log.clone());
    }

    /// The handle of a rule and backend. Takes a lock: ask when the configuration is compiled, and keep it.
    pub fn route(&self, labels: &RouteLabels) -> Arc<RouteMetrics> {
        if self.budget.is_short() {
            self.routes.prune();
        }
        self.routes
            .resolve(labels, || RouteMetrics::new(labels.clone(), self.budget.clone()))
            .unwrap_or_else(|| self.unrouted.clone())
    }

    /// The handle of requests that no rule took.
    pub fn unrouted(&self) -> &Arc<RouteMetrics> {
        &self.unrouted
    }

    /// The handle of an L4 rule and backend; as [`Metrics::route`].
    pub fn tcp(&self, labels: &RouteLabels) -> Arc<TcpMetrics> {
        self.tcp.resolve(labels, TcpMetrics::default).unwrap_or_default()
    }

    /// The handle of a listener; as [`Metrics::route`].
    pub fn listener(&self, name: &ListenerName) -> Arc<ListenerMetrics> {
        self.listeners.resolve(name, ListenerMetrics::default).unwrap_or_default()
    }

    /// Asks `each` for the backends at each scrape. Only the first call counts.
    pub fn observe_backends(&self, each: impl Fn(&mut dyn FnMut(BackendSample<'_>)) + Send + Sync + 'static) {
        let _ = self.backends.set(BackendSource(Box::new(each)));
    }

    /// Shows what `collectors` gives at each scrape: what is known of identities. Only the first call counts.
    pub fn observe_identities(
        &self,
        collectors: impl Fn() -> Vec<Box<dyn Collector>> + Send + Sync + 'static,
    ) {
        let _ = self.identities.set(IdentitySource(Box::new(collectors)));
    }

    /// Counts something that overload protection refused.
    pub fn shed(&self, reason: ShedReason) {
        for (counter, known) in self.shed.iter().zip(ShedReason::ALL) {
            if known == reason {
                counter.inc();
            }
        }
    }

    /// The OpenMetrics text form of everything. Call it off the request path.
    pub fn encode(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(encode::Everything(self.clone())));
        for collector in self.identities.get().into_iter().flat_map(|source| (source.0)()) {
            registry.register_collector(collector);
        }
        let mut text = String::with_capacity(64 * 1024);
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a string does not fail; an empty page would hide it if it did.
            Err(error) => format!("# {error}\n# EOF\n"),
        }
    }
}

/// Handles by label. A handle stays when nobody uses it any more, so that a counter does not begin anew when a
/// route comes back; its place is taken only when the bound is reached.
#[derive(Debug)]
struct Families<K, V> {
    handles: Mutex<BTreeMap<K, Arc<V>>>,
    bound: usize,
    refused: AtomicUsize,
}

impl<K: Ord + Clone, V> Families<K, V> {
    fn new(bound: usize) -> Self {
        Self { handles: Mutex::default(), bound, refused: AtomicUsize::new(0) }
    }

    /// None where the bound is reached.
    fn resolve(&self, key: &K, make: impl FnOnce() -> V) -> Option<Arc<V>> {
        let mut handles = self.lock();
        if let Some(handle) = handles.get(key) {
            return Some(handle.clone());
        }
        if handles.len() >= self.bound {
            handles.retain(|_, handle| Arc::strong_count(handle) > 1);
        }
        if handles.len() >= self.bound {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let handle = Arc::new(make());
        handles.insert(key.clone(), handle.clone());
        Some(handle)
    }

    /// Drops the handles that nobody uses.
    fn prune(&self) {
        self.lock().retain(|_, handle| Arc::strong_count(handle) > 1);
    }

    fn live(&self) -> Vec<(K, Arc<V>)> {
        self.lock().iter().map(|(key, handle)| (key.clone(), handle.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Arc<V>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNKNOWN: &str = "unknown";
/// Bound on series of each kind: a request series takes about 1.5 KiB over all cores' cells, a scrape line 1 KiB.
const MAX_SERIES: usize = 10_000;

#[cfg(test)]
mod tests;
