//! Batches spans and sends them to the collector. Runs on the control runtime.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::collector::{Collector, Endpoint};
use super::context::SpanContext;
use super::otlp::{
    ExportRequest, KIND_SERVER, KeyValue, Resource, ResourceSpans, STATUS_ERROR, Scope, ScopeSpans, Span,
    Status,
};
use super::{Flags, Metrics, SourceLabels, SpanFacts};

/// A span that has ended, ready to be sent.
#[derive(Debug)]
pub(super) struct Record(Span);

impl Record {
    /// Attributes by the OpenTelemetry semantic conventions for HTTP servers.
    pub(super) fn new(context: &SpanContext, facts: &SpanFacts<'_>) -> Self {
        let name = match facts.route {
            Some(route) => format!("{} {route}", facts.method),
            None => facts.method.to_owned(),
        };
        let (start, end) = (nanos(facts.start), nanos(facts.start + facts.duration));
        let failed = facts.status == 0 || facts.status >= 500;
        Self(Span {
            trace_id: context.trace.0.to_be_bytes().into(),
            span_id: context.span.to_be_bytes().into(),
            parent_span_id: context.parent.map(|parent| parent.to_be_bytes().into()).unwrap_or_default(),
            name,
            kind: KIND_SERVER,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: attributes(facts),
            status: failed.then_some(Status { code: STATUS_ERROR }),
        })
    }
}

fn attributes(facts: &SpanFacts<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::text("http.request.method", facts.method),
        KeyValue::text("url.scheme", facts.scheme),
        KeyValue::text("url.path", facts.path),
        KeyValue::text("server.address", facts.authority),
        KeyValue::text("network.protocol.name", "http"),
        KeyValue::text("network.protocol.version", facts.version),
        KeyValue::number("http.response.status_code", facts.status),
    ];
    if let Some(route) = facts.route {
        attributes.push(KeyValue::text("http.route", route));
    }
    if let Some(client) = facts.client {
        attributes.push(KeyValue::text("client.address", client.ip().to_string()));
    }
    if let Some(upstream) = facts.upstream {
        attributes.push(KeyValue::text("network.peer.address", upstream.ip().to_string()));
        attributes.push(KeyValue::number("network.peer.port", upstream.port()));
    }
    if let Some(backend) = facts.backend {
        attributes.push(KeyValue::text("diolkos.backend", backend));
    }
    if facts.flags != Flags::NONE {
        attributes.push(KeyValue::text("diolkos.response_flags", facts.flags.to_string()));
        attributes.push(KeyValue::text("error.type", facts.flags.to_string()));
    }
    if facts.retries > 0 {
        attributes.push(KeyValue::number("http.request.resend_count", facts.retries));
    }
    attributes
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sends what comes through the queue until nobody can put anything in any more.
pub(super) struct Exporter {
    collector: Collector,
    records: mpsc::Receiver<Record>,
    metrics: Arc<Metrics>,
    resource: Resource,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(
        endpoint: Endpoint,
        records: mpsc::Receiver<Record>,
        metrics: Arc<Metrics>,
        source: &SourceLabels,
    ) -> Self {
        let resource = Resource {
            attributes: vec![
                KeyValue::text("service.name", &*source.service),
                KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::text("k8s.namespace.name", &*source.namespace),
                KeyValue::text("k8s.deployment.name", &*source.workload),
                KeyValue::text("k8s.cluster.name", &*source.cluster),
            ],
        };
        Self { collector: Collector::new(endpoint), records, metrics, resource, failing: false }
    }

    /// `gather` is how long spans gather.
    pub(super) async fn run(mut self, gather: Duration) {
        let mut batch = Vec::new();
        while let Some(first) = self.records.recv().await {
            batch.push(first.0);
            let deadline = Instant::now() + gather;
            while batch.len() < BATCH {
                match timeout_at(deadline, self.records.recv()).await {
                    Ok(Some(record)) => batch.push(record.0),
                    Ok(None) | Err(_) => break,
                }
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let scope = Scope { name: "diolkos".into(), version: env!("CARGO_PKG_VERSION").into() };
        let request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let result = match timeout(PATIENCE, self.collector.export(request.encode_to_vec())).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the collector did not answer in time".to_owned()),
        };
        match result {
            Ok(()) => {
                self.metrics.spans_exported.add(count);
                self.failing = false;
            }
            Err(error) => {
                // Spans are not kept for another try: what comes meanwhile is worth as much.
                self.collector.reset();
                self.metrics.spans_dropped.add(count);
                if std::mem::replace(&mut self.failing, true) {
                    debug!(%error, "Spans cannot be exported");
                } else {
                    warn!(%error, endpoint = %self.collector.endpoint(), "Spans cannot be exported");
                }
            }
        }
    }
}

/// Spans sent at once at most.
const BATCH: usize = 512;
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
