//! What an issuer counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::audit::Method;

/// The metrics of one issuer.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    issued: Family<IssuedLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    pub(crate) streams: Gauge<i64, AtomicI64>,
    pub(crate) connections: Gauge<i64, AtomicI64>,
    pub(crate) sequence: Gauge<i64, AtomicI64>,
    pub(crate) signing_not_after: Gauge<i64, AtomicI64>,
    pub(crate) roots: Gauge<i64, AtomicI64>,
    total_issued: AtomicU64,
    total_refused: AtomicU64,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct IssuedLabels {
    kind: &'static str,
    method: Label,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct RefusedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Label(Method);

impl EncodeLabelValue for Label {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("diolkos_issuer"),
            issued: Family::default(),
            refused: Family::default(),
            streams: Gauge::default(),
            connections: Gauge::default(),
            sequence: Gauge::default(),
            signing_not_after: Gauge::default(),
            roots: Gauge::default(),
            total_issued: AtomicU64::new(0),
            total_refused: AtomicU64::new(0),
        };
        let registry = &mut metrics.registry;
        registry.register("issued", "SVIDs issued", metrics.issued.clone());
        registry.register("refused", "Requests refused", metrics.refused.clone());
        registry.register("workload_streams", "Open streams of the Workload API", metrics.streams.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("bundle_sequence", "Sequence of the bundle", metrics.sequence.clone());
        registry.register("roots", "Roots in the bundle", metrics.roots.clone());
        registry.register(
            "signing_not_after_seconds",
            "When nothing can be signed any more, in seconds since 1970",
            metrics.signing_not_after.clone(),
        );
        metrics
    }

    pub(crate) fn count_issued(&self, kind: &'static str, method: Method) {
        self.issued.get_or_create(&IssuedLabels { kind, method: Label(method) }).inc();
        self.total_issued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, kind: &'static str, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { kind, reason }).inc();
        self.total_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.total_issued.load(Ordering::Relaxed), self.total_refused.load(Ordering::Relaxed))
    }

    /// As Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
