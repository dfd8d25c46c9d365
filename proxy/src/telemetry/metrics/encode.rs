//! The text form of all metrics.

mod traffic;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cells::{Counter, Gauge};
use super::connection::{BackendSample, ListenerMetrics};
use super::{MAX_SERIES, Metrics};
use crate::overload::ShedReason;

/// Encodes what a [`Metrics`] holds now.
#[derive(Debug)]
pub(super) struct Everything(pub(super) Arc<Metrics>);

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let metrics = &*self.0;
        metrics.encode_requests(&mut encoder)?;
        metrics.encode_tcp(&mut encoder)?;
        metrics.encode_listeners(&mut encoder)?;
        metrics.encode_backends(&mut encoder)?;
        metrics.encode_process(&mut encoder)
    }
}

impl Metrics {
    fn encode_listeners(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let listeners = self.listeners.live();
        type Pick<'a, T> = fn(&'a ListenerMetrics) -> &'a T;
        let counters: [(&str, &str, Pick<'_, Counter>); 5] = [
            ("diolkos_listener_connections", "Connections accepted", |m| &m.connections),
            ("diolkos_listener_connections_refused", "Connections refused at accept", |m| &m.refused),
            ("diolkos_listener_proxy_protocol_errors", "PROXY headers refused", |m| &m.proxy_protocol_errors),
            ("diolkos_listener_tls_handshakes", "TLS handshakes completed", |m| &m.handshakes),
            ("diolkos_listener_tls_passthrough", "TLS connections passed through", |m| &m.passthrough),
        ];
        for (name, help, pick) in counters {
            let samples =
                listeners.iter().map(|(key, m)| (vec![("listener", key.as_str())], pick(m).value()));
            counter(encoder, name, help, samples)?;
        }
        let gauges: [(&str, &str, Pick<'_, Gauge>); 3] = [
            ("diolkos_listener_connections_active", "Connections open", |m| &m.active),
            ("diolkos_listener_tls_handshakes_active", "TLS handshakes under way", |m| &m.handshaking),
            ("diolkos_listener_udp_sessions_active", "Datagram sessions open", |m| &m.sessions),
        ];
        for (name, help, pick) in gauges {
            let samples =
                listeners.iter().map(|(key, m)| (vec![("listener", key.as_str())], pick(m).value()));
            gauge(encoder, name, help, samples)?;
        }
        let failures = listeners.iter().flat_map(|(key, m)| {
            m.tls_failures()
                .map(move |(reason, value)| (vec![("listener", key.as_str()), ("reason", reason)], value))
        });
        counter(encoder, "diolkos_listener_tls_failures", "TLS handshakes that failed", failures)?;
        let drops = listeners.iter().flat_map(|(key, m)| {
            m.udp_drops()
                .map(move |(reason, value)| (vec![("listener", key.as_str()), ("reason", reason)], value))
        });
        counter(encoder, "diolkos_listener_udp_datagrams_dropped", "Datagrams dropped", drops)
    }

    fn encode_backends(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut rows: Vec<(String, [u64; 10])> = Vec::new();
        if let Some(source) = self.backends.get() {
            (source.0)(&mut |sample| {
                if rows.len() < MAX_SERIES {
                    rows.push((sample.name.to_owned(), row(&sample)));
                }
            });
        }
        rows.sort();
        let families = [
            ("diolkos_backend_connections", "Connections made to endpoints", MetricType::Counter),
            ("diolkos_backend_connect_failures", "Connections that failed", MetricType::Counter),
            ("diolkos_backend_circuit_open", "Refused by a circuit limit", MetricType::Counter),
            ("diolkos_backend_retries", "Requests tried again", MetricType::Counter),
            ("diolkos_backend_ejections", "Endpoints ejected by passive health", MetricType::Counter),
            ("diolkos_backend_connections_active", "Connections open to endpoints", MetricType::Gauge),
            ("diolkos_backend_requests_active", "Requests under way", MetricType::Gauge),
            ("diolkos_backend_requests_pending", "Requests that wait for a connection", MetricType::Gauge),
            ("diolkos_backend_endpoints", "Endpoints known", MetricType::Gauge),
            ("diolkos_backend_endpoints_healthy", "Endpoints that are fit", MetricType::Gauge),
        ];
        for (index, (name, help, kind)) in families.into_iter().enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (backend, numbers) in &rows {
                let labels = [("backend", backend.as_str())];
                let value = numbers.get(index).copied().unwrap_or(0);
                let mut metric = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                    _ => metric.encode_gauge(&value)?,
                }
            }
        }
        Ok(())
    }

    fn encode_process(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        let build = vec![("component", "diolkos"), ("tag", version)];
        gauge(encoder, "istio_build", "Version of the proxy", [(build, 1)])?;
        let shed = ShedReason::ALL.into_iter().zip(&self.shed);
        let shed = shed.map(|(reason, counter)| (vec![("reason", reason.as_str())], counter.value()));
        counter(encoder, "diolkos_shed", "Connections and requests refused by overload protection", shed)?;
        let refused = [("route", &self.routes.refused), ("tcp", &self.tcp.refused)]
            .map(|(kind, count)| (vec![("kind", kind)], count.load(Ordering::Relaxed) as u64));
        counter(encoder, "diolkos_metric_handles_refused", "Handles beyond the bound on series", refused)?;
        let dropped = self.access_log.get().map_or(0, |log| log.dropped());
        for (name, help, value) in [
            ("diolkos_access_log_dropped", "Access log lines dropped", dropped),
            ("diolkos_compile_errors", "Snapshots that could not be compiled", self.compile_errors.value()),
            ("diolkos_spans_exported", "Spans exported", self.spans_exported.value()),
            ("diolkos_spans_dropped", "Spans dropped", self.spans_dropped.value()),
        ] {
            counter(encoder, name, help, [(Vec::new(), value)])?;
        }
        let uptime = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let mut gauges = vec![
            ("diolkos_snapshot_generation", "Generation served", self.snapshot_generation.value()),
            ("diolkos_uptime_seconds", "Seconds since the start", uptime),
            ("diolkos_workers", "Worker threads", i64::try_from(self.cores).unwrap_or(i64::MAX)),
        ];
        if let Some(overload) = self.overload.get() {
            let usage = overload.usage();
            let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            gauges.extend([
                ("diolkos_memory_bytes", "Memory in use", signed(usage.memory)),
                (
                    "diolkos_memory_limit_bytes",
                    "Memory that may be used; 0: unknown",
                    signed(usage.memory_limit),
                ),
                ("diolkos_descriptors", "Open descriptors", signed(usage.descriptors)),
                ("diolkos_descriptor_limit", "Descriptors that may be open", signed(usage.descriptor_limit)),
                ("diolkos_connections_active", "Connections open", i64::from(overload.connections())),
                (
                    "diolkos_connection_limit",
                    "Bound on connections; 0: none",
                    i64::from(overload.connection_limit()),
                ),
                (
                    "diolkos_overload_pressure",
                    "0 normal, 1 sheds, 2 stops accepting, 3 closes idle connections",
                    overload.pressure() as i64,
                ),
            ]);
        }
        for (name, help, value) in gauges {
            gauge(encoder, name, help, [(Vec::new(), value)])?;
        }
        Ok(())
    }
}

/// A backend's numbers, in the order of the families.
fn row(sample: &BackendSample<'_>) -> [u64; 10] {
    let counters = sample.counters;
    [
        counters.connections.value(),
        counters.connect_failures.value(),
        counters.circuit_open.value(),
        counters.retries.value(),
        counters.ejections.value(),
        sample.connections.into(),
        sample.requests.into(),
        sample.pending.into(),
        sample.endpoints as u64,
        sample.healthy as u64,
    ]
}

fn counter<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        if labels.is_empty() {
            family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        } else {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
    }
    Ok(())
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, i64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        if labels.is_empty() {
            family.encode_gauge(&value)?;
        } else {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}
