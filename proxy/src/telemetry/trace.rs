//! Traces: W3C trace context on requests, and spans exported by OTLP where the configuration asks for it.
//!
//! Without an exporter the proxy takes no part: `traceparent` and `tracestate` pass through as they came.

mod collector;
mod context;
mod export;
mod otlp;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::flags::Flags;
use super::metrics::{Metrics, SourceLabels};

pub use collector::EndpointError;
pub use context::{SpanContext, TraceId, trace_id};

use collector::Endpoint;
use export::{Exporter, Record};

/// Makes and exports spans. Share it by `Arc`.
#[derive(Debug)]
pub struct Tracer {
    /// Share of new traces that are sampled, in 1/10,000.
    per_10_000: AtomicU32,
    queue: ArcSwapOption<mpsc::Sender<Record>>,
    configured: Mutex<Option<Arc<str>>>,
    metrics: Arc<Metrics>,
    source: SourceLabels,
    runtime: Handle,
    /// How long spans gather before they are sent together.
    gather: Duration,
}

/// What a span tells of a request, at its end.
#[derive(Clone, Copy, Debug)]
pub struct SpanFacts<'a> {
    /// When the request began.
    pub start: SystemTime,
    /// To the last byte.
    pub duration: Duration,
    /// Method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host as the client sent it.
    pub authority: &'a str,
    /// Path without the query: queries hold secrets.
    pub path: &'a str,
    /// `1.1` or `2`.
    pub version: &'a str,
    /// Label of the rule, if one took it.
    pub route: Option<&'a str>,
    /// Name of the backend.
    pub backend: Option<&'a str>,
    /// The endpoint.
    pub upstream: Option<SocketAddr>,
    /// The client.
    pub client: Option<SocketAddr>,
    /// HTTP status.
    pub status: u16,
    /// Envoy's letters.
    pub flags: Flags,
    /// Tries after the first.
    pub retries: u32,
}

impl Tracer {
    /// Exports nothing until it is configured. The exporter will run on `runtime`: the control runtime.
    pub fn new(metrics: Arc<Metrics>, runtime: Handle) -> Arc<Self> {
        Self::gathering(metrics, runtime, GATHER)
    }

    fn gathering(metrics: Arc<Metrics>, runtime: Handle, gather: Duration) -> Arc<Self> {
        Arc::new(Self {
            per_10_000: AtomicU32::new(0),
            queue: ArcSwapOption::empty(),
            configured: Mutex::new(None),
            source: metrics.source().clone(),
            metrics,
            runtime,
            gather,
        })
    }

    /// Takes over `GatewaySettings::tracing_otlp` and `tracing_per_10_000`. The same endpoint keeps its
    /// exporter; another one gets its own, while the old one sends what it still has.
    ///
    /// # Errors
    /// The endpoint cannot be understood; nothing is exported then.
    pub fn configure(&self, endpoint: Option<&Arc<str>>, per_10_000: u32) -> Result<(), EndpointError> {
        self.per_10_000.store(per_10_000.min(10_000), Ordering::Relaxed);
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        if configured.as_ref() == endpoint {
            return Ok(());
        }
        *configured = endpoint.cloned();
        self.queue.store(None);
        if let Some(text) = endpoint {
            let endpoint: Endpoint = text.parse()?;
            let (queue, records) = mpsc::channel(QUEUE);
            let exporter = Exporter::new(endpoint, records, self.metrics.clone(), &self.source);
            self.runtime.spawn(exporter.run(self.gather));
            self.queue.store(Some(Arc::new(queue)));
        }
        Ok(())
    }

    /// Whether spans are exported. If not, a request's trace headers are nobody's business.
    pub fn enabled(&self) -> bool {
        self.queue.load().is_some()
    }

    /// Begins the span of a request: a child of the trace that its headers name, else of a new trace. The
    /// headers name this span from now on. None if nothing is exported.
    pub fn begin(&self, headers: &mut HeaderMap) -> Option<SpanContext> {
        if !self.enabled() {
            return None;
        }
        let share = self.per_10_000.load(Ordering::Relaxed);
        Some(SpanContext::begin(headers, || fastrand::u32(0..10_000) < share))
    }

    /// Ends a span. An unsampled one costs nothing; a full queue drops it and counts that.
    pub fn end(&self, context: &SpanContext, facts: &SpanFacts<'_>) {
        if !context.is_sampled() {
            return;
        }
        let queue = self.queue.load();
        let Some(queue) = queue.as_ref() else { return };
        if queue.try_send(Record::new(context, facts)).is_err() {
            self.metrics.spans_dropped.inc();
        }
    }
}

/// Spans that may wait for the collector: about 1 MiB.
const QUEUE: usize = 2048;
/// How long spans gather.
const GATHER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
