//! The text form of all metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cells::{BODY_BYTES, Counter, DURATION_MILLIS, Distribution, Gauge, RequestTotals};
use super::connection::{BackendSample, ListenerMetrics, TcpMetrics};
use super::request::Outcome;
use super::{MAX_SERIES, Metrics, RouteLabels, UNKNOWN};
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

/// Outcomes as label values. `overflow` stands for outcomes of any kind.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
struct OutcomeLabels {
    status: String,
    flags: String,
    protocol: &'static str,
    grpc_status: String,
    security: &'static str,
}

impl From<Outcome> for OutcomeLabels {
    fn from(outcome: Outcome) -> Self {
        let Outcome { status, flags, grpc, grpc_status, mutual_tls } = outcome;
        Self {
            status: status.to_string(),
            flags: flags.to_string(),
            protocol: if grpc { "grpc" } else { "http" },
            grpc_status: grpc_status.map_or_else(|| UNKNOWN.into(), |status| status.to_string()),
            security: if mutual_tls { "mutual_tls" } else { "none" },
        }
    }
}

impl OutcomeLabels {
    fn overflow() -> Self {
        let overflow = "overflow";
        Self {
            status: overflow.into(),
            flags: overflow.into(),
            protocol: overflow,
            grpc_status: overflow.into(),
            security: overflow,
        }
    }
}

type ByRoute = BTreeMap<(RouteLabels, OutcomeLabels), RequestTotals>;

impl Metrics {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let routes = self.request_totals();
        self.encode_istio_requests(&by_service(&routes), encoder)?;
        let labelled = |(route, outcome): &(RouteLabels, OutcomeLabels)| -> Vec<(&'static str, String)> {
            vec![
                ("http_route", route.route.to_string()),
                ("backend", route.backend.to_string()),
                ("http_response_status_code", outcome.status.clone()),
                ("response_flags", outcome.flags.clone()),
            ]
        };
        let mut merged: BTreeMap<Vec<(&'static str, String)>, RequestTotals> = BTreeMap::new();
        for (key, totals) in &routes {
            add(merged.entry(labelled(key)).or_default(), totals);
        }
        let name = "http_server_request_duration_seconds";
        let help = "Duration of requests, from the first byte in to the last byte out";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, totals) in &merged {
            let buckets = buckets(&totals.duration, DURATION_MILLIS.iter().map(|bound| bound / 1e3));
            let sum = totals.duration.sum as f64 / 1e6;
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                sum,
                totals.duration.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn request_totals(&self) -> ByRoute {
        let mut routes = ByRoute::new();
        let handles = self.routes.live().into_iter().map(|(_, handle)| handle);
        for handle in handles.chain([self.unrouted.clone()]) {
            handle.for_each(|outcome, cells| {
                let key = (handle.labels().clone(), outcome.into());
                cells.add_to(routes.entry(key).or_default());
            });
        }
        if let Some((labels, totals)) = self.budget.overflow() {
            routes.insert((labels.clone(), OutcomeLabels::overflow()), totals);
        }
        routes
    }

    fn encode_istio_requests(
        &self,
        services: &BTreeMap<(Service, OutcomeLabels), RequestTotals>,
        encoder: &mut DescriptorEncoder,
    ) -> fmt::Result {
        let help = "Requests";
        let mut family = encoder.encode_descriptor("istio_requests", help, None, MetricType::Counter)?;
        for ((service, outcome), totals) in services {
            let labels = self.istio_labels(service, outcome);
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&totals.duration.count(), None)?;
        }
        let millis = |totals: &RequestTotals| {
            (buckets(&totals.duration, DURATION_MILLIS), totals.duration.sum as f64 / 1e3)
        };
        let seconds = |totals: &RequestTotals| {
            let bounds = DURATION_MILLIS.iter().map(|bound| bound / 1e3);
            (buckets(&totals.duration, bounds), totals.duration.sum as f64 / 1e6)
        };
        let bytes = |distribution: &Distribution| {
            let bounds = BODY_BYTES.iter().map(|bound| *bound as f64);
            (buckets(distribution, bounds), distribution.sum as f64)
        };
        type Shape<'a> = &'a dyn Fn(&RequestTotals) -> (Vec<(f64, u64)>, f64);
        let shapes: [(&str, &str, Shape<'_>); 4] = [
            ("istio_request_duration_milliseconds", "Duration of requests", &millis),
            ("istio_request_duration_seconds", "Duration of requests", &seconds),
            ("istio_request_bytes", "Body bytes of requests", &|totals| bytes(&totals.request)),
            ("istio_response_bytes", "Body bytes of responses", &|totals| bytes(&totals.response)),
        ];
        for (name, help, shape) in shapes {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for ((service, outcome), totals) in services {
                let labels = self.istio_labels(service, outcome);
                let (buckets, sum) = shape(totals);
                let count = totals.duration.count();
                family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn istio_labels<'a>(&'a self, service: &'a Service, outcome: &'a OutcomeLabels) -> Labels<'a> {
        let mut labels = self.mesh_labels(service);
        labels.extend([
            ("request_protocol", outcome.protocol),
            ("response_code", &outcome.status),
            ("grpc_response_status", &outcome.grpc_status),
            ("response_flags", &outcome.flags),
            ("connection_security_policy", outcome.security),
        ]);
        labels
    }

    /// Istio's labels of source and destination: every one on every sample, `unknown` where not known.
    fn mesh_labels<'a>(&'a self, service: &'a Service) -> Labels<'a> {
        let source = &self.source;
        vec![
            ("reporter", "source"),
            ("source_cluster", &source.cluster),
            ("source_workload", &source.workload),
            ("source_workload_namespace", &source.namespace),
            ("source_canonical_service", &source.service),
            ("source_canonical_revision", &source.revision),
            ("source_principal", UNKNOWN),
            ("destination_cluster", &source.cluster),
            ("destination_service", &service.host),
            ("destination_service_name", &service.name),
            ("destination_service_namespace", &service.namespace),
            ("destination_workload", UNKNOWN),
            ("destination_workload_namespace", &service.namespace),
            ("destination_canonical_service", &service.name),
            ("destination_canonical_revision", UNKNOWN),
            ("destination_principal", UNKNOWN),
        ]
    }

    fn encode_tcp(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut services: BTreeMap<Service, [u64; 4]> = BTreeMap::new();
        for (labels, handle) in self.tcp.live() {
            let TcpMetrics { opened, closed, sent, received } = &*handle;
            let totals = services.entry(Service::from(&labels)).or_default();
            for (total, counter) in totals.iter_mut().zip([opened, closed, sent, received]) {
                *total += counter.value();
            }
        }
        let names = [
            ("istio_tcp_connections_opened", "Opaque connections and datagram sessions opened"),
            ("istio_tcp_connections_closed", "Opaque connections and datagram sessions closed"),
            ("istio_tcp_sent_bytes", "Bytes of opaque traffic to clients"),
            ("istio_tcp_received_bytes", "Bytes of opaque traffic from clients"),
        ];
        for (index, (name, help)) in names.into_iter().enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (service, totals) in &services {
                let mut labels = self.mesh_labels(service);
                labels.extend([
                    ("request_protocol", "tcp"),
                    ("response_flags", "-"),
                    ("connection_security_policy", UNKNOWN),
                ]);
                let value = totals.get(index).copied().unwrap_or(0);
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }

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

/// A destination in Istio's words.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
struct Service {
    name: Arc<str>,
    namespace: Arc<str>,
    host: String,
}

impl From<&RouteLabels> for Service {
    fn from(labels: &RouteLabels) -> Self {
        let host = match (&*labels.service_name, &*labels.service_namespace) {
            (name, _) if *name == *UNKNOWN || *name == *"overflow" => name.to_owned(),
            (name, "") => name.to_owned(),
            (name, namespace) => format!("{name}.{namespace}.svc.cluster.local"),
        };
        Self { name: labels.service_name.clone(), namespace: labels.service_namespace.clone(), host }
    }
}

fn by_service(routes: &ByRoute) -> BTreeMap<(Service, OutcomeLabels), RequestTotals> {
    let mut services: BTreeMap<_, RequestTotals> = BTreeMap::new();
    for ((route, outcome), totals) in routes {
        add(services.entry((Service::from(route), outcome.clone())).or_default(), totals);
    }
    services
}

fn add(total: &mut RequestTotals, part: &RequestTotals) {
    for (total, part) in [
        (&mut total.duration, &part.duration),
        (&mut total.request, &part.request),
        (&mut total.response, &part.response),
    ] {
        total.sum += part.sum;
        for (total, part) in total.buckets.iter_mut().zip(&part.buckets) {
            *total += part;
        }
    }
}

/// Pairs of bound and count; the encoder adds them up.
fn buckets(distribution: &Distribution, bounds: impl IntoIterator<Item = f64>) -> Vec<(f64, u64)> {
    bounds.into_iter().chain([f64::INFINITY]).zip(distribution.buckets.iter().copied()).collect()
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
