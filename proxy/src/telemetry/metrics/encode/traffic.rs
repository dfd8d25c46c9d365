//! Requests and opaque traffic: by route in our words, by destination in Istio's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Labels;
use crate::telemetry::metrics::cells::{BODY_BYTES, DURATION_MILLIS, Distribution, RequestTotals};
use crate::telemetry::metrics::request::Outcome;
use crate::telemetry::metrics::{Metrics, RouteLabels, TcpMetrics, UNKNOWN};

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
    pub(super) fn encode_requests(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
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

    pub(super) fn encode_tcp(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
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
