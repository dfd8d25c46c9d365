//! Names, labels and bounds of the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::telemetry::flags::Flags;

fn record(status: u16) -> RequestRecord {
    RequestRecord {
        status,
        flags: Flags::NONE,
        grpc: false,
        grpc_status: None,
        mutual_tls: false,
        duration: Duration::from_millis(3),
        request_bytes: 0,
        response_bytes: 300,
    }
}

fn labels(route: &str) -> RouteLabels {
    let origin = Origin::new("Service", "shop", "cart");
    RouteLabels::new(&route.into(), Some((&"service/shop/cart/80".into(), &origin)))
}

fn full() -> Arc<Metrics> {
    let metrics = Metrics::new(2, SourceLabels::default());
    metrics.observe(&Overload::new(), &AccessLog::off());
    metrics
}

#[test]
fn names_are_these() {
    let metrics = full();
    let text = metrics.encode();
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let expected: BTreeSet<&str> = [
        "diolkos_access_log_dropped",
        "diolkos_backend_circuit_open",
        "diolkos_backend_connect_failures",
        "diolkos_backend_connections",
        "diolkos_backend_connections_active",
        "diolkos_backend_ejections",
        "diolkos_backend_endpoints",
        "diolkos_backend_endpoints_healthy",
        "diolkos_backend_requests_active",
        "diolkos_backend_requests_pending",
        "diolkos_backend_retries",
        "diolkos_compile_errors",
        "diolkos_connection_limit",
        "diolkos_connections_active",
        "diolkos_descriptor_limit",
        "diolkos_descriptors",
        "diolkos_listener_connections",
        "diolkos_listener_connections_active",
        "diolkos_listener_connections_refused",
        "diolkos_listener_proxy_protocol_errors",
        "diolkos_listener_tls_failures",
        "diolkos_listener_tls_handshakes",
        "diolkos_listener_tls_handshakes_active",
        "diolkos_listener_tls_passthrough",
        "diolkos_listener_udp_datagrams_dropped",
        "diolkos_listener_udp_sessions_active",
        "diolkos_memory_bytes",
        "diolkos_memory_limit_bytes",
        "diolkos_metric_handles_refused",
        "diolkos_overload_pressure",
        "diolkos_shed",
        "diolkos_snapshot_generation",
        "diolkos_spans_dropped",
        "diolkos_spans_exported",
        "diolkos_uptime_seconds",
        "diolkos_workers",
        "http_server_request_duration_seconds",
        "istio_build",
        "istio_request_bytes",
        "istio_request_duration_milliseconds",
        "istio_request_duration_seconds",
        "istio_requests",
        "istio_response_bytes",
        "istio_tcp_connections_closed",
        "istio_tcp_connections_opened",
        "istio_tcp_received_bytes",
        "istio_tcp_sent_bytes",
    ]
    .into();
    assert_eq!(names, expected);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn requests_add_up_over_routes_for_istio_and_stay_apart_for_us() {
    let metrics = full();
    let (first, second) = (metrics.route(&labels("shop/a/0")), metrics.route(&labels("shop/b/0")));
    first.record(&record(200));
    first.record(&record(200));
    second.record(&record(200));
    second.record(&record(503));
    let text = metrics.encode();
    let line = |needles: &[&str]| {
        let found: Vec<_> =
            text.lines().filter(|line| needles.iter().all(|needle| line.contains(needle))).collect();
        assert_eq!(found.len(), 1, "{needles:?}: {found:#?}");
        found[0].rsplit(' ').next().unwrap().to_owned()
    };
    let cart = "destination_service=\"cart.shop.svc.cluster.local\"";
    assert_eq!(line(&["istio_requests_total{", cart, "response_code=\"200\""]), "3");
    assert_eq!(line(&["istio_requests_total{", cart, "response_code=\"503\""]), "1");
    let bucket = "istio_request_duration_milliseconds_bucket{";
    assert_eq!(line(&[bucket, "le=\"1.0\"", "response_code=\"200\""]), "0");
    assert_eq!(line(&[bucket, "le=\"5.0\"", "response_code=\"200\""]), "3");
    assert_eq!(line(&[bucket, "le=\"+Inf\"", "response_code=\"200\""]), "3");
    assert_eq!(line(&["istio_response_bytes_sum{", "response_code=\"503\""]), "300.0");
    let ours = "http_server_request_duration_seconds_count{";
    assert_eq!(line(&[ours, "http_route=\"shop/a/0\""]), "2");
    assert_eq!(line(&[ours, "http_route=\"shop/b/0\"", "status_code=\"503\""]), "1");
    assert!(!text.contains("=\"\""), "no label is empty");
}

#[test]
fn one_handle_per_label_that_outlives_its_users() {
    let metrics = full();
    let handle = metrics.route(&labels("shop/a/0"));
    handle.record(&record(200));
    assert!(Arc::ptr_eq(&handle, &metrics.route(&labels("shop/a/0"))));
    drop(handle);
    assert!(metrics.encode().contains("shop/a/0"));
    metrics.route(&labels("shop/a/0")).record(&record(200));
    assert!(metrics.encode().contains("_count{http_route=\"shop/a/0\",backend=\"service/shop/cart/80\",http_response_status_code=\"200\",response_flags=\"-\"} 2"));
}

#[test]
fn unused_handles_give_their_place_up() {
    let families: Families<u32, u32> = Families::new(2);
    let first = families.resolve(&1, || 1);
    assert!(families.resolve(&2, || 2).is_some());
    let third = families.resolve(&3, || 3);
    assert_eq!((first.as_deref(), third.as_deref()), (Some(&1), Some(&3)));
    assert_eq!(families.resolve(&4, || 4), None);
    assert_eq!(families.live().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn series_are_bounded() {
    let metrics = full();
    let handle = metrics.route(&labels("shop/a/0"));
    for status in 100..900 {
        handle.record(&record(status));
    }
    let text = metrics.encode();
    let ours = text.lines().filter(|line| line.starts_with("istio_requests_total{")).count();
    assert_eq!(ours, 65, "64 outcomes and the overflow");
    let overflow = text
        .lines()
        .find(|line| line.starts_with("istio_requests_total{") && line.contains("response_code=\"overflow\""))
        .unwrap();
    assert!(overflow.ends_with(" 736"), "{overflow}");
}

#[test]
fn budget_over_all_handles_is_kept_and_given_back() {
    let budget = Arc::new(SeriesBudget::new(1, 2, RouteLabels::all("overflow")));
    let (first, second) =
        (RouteMetrics::new(labels("a"), budget.clone()), RouteMetrics::new(labels("b"), budget.clone()));
    first.record(&record(200));
    first.record(&record(201));
    second.record(&record(200));
    let count = |handle: &RouteMetrics| {
        let mut count = 0;
        handle.for_each(|_, _| count += 1);
        count
    };
    assert_eq!((count(&first), count(&second)), (2, 0));
    drop(first);
    second.record(&record(200));
    assert_eq!(count(&second), 1);
}

#[test]
fn hostile_label_values_stay_inside_their_quotes() {
    let metrics = full();
    let handle = metrics.route(&labels("a\"} 1\nfake{x=\"\\"));
    handle.record(&record(200));
    let text = metrics.encode();
    assert!(!text.lines().any(|line| line.starts_with("fake")), "{text}");
}

#[test]
fn shed_and_listener_counters_carry_their_reason() {
    let metrics = full();
    metrics.shed(ShedReason::ListenerLimit);
    let listener = metrics.listener(&"shop/gw/443".into());
    listener.tls_failure(TlsFailure::UnknownName);
    let guard = GaugeGuard::new(&listener, |metrics| &metrics.active);
    let text = metrics.encode();
    for line in [
        "diolkos_shed_total{reason=\"listener_limit\"} 1",
        "diolkos_listener_tls_failures_total{listener=\"shop/gw/443\",reason=\"unknown_name\"} 1",
        "diolkos_listener_connections_active{listener=\"shop/gw/443\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    drop(guard);
    assert_eq!(listener.active.value(), 0);
}

#[test]
fn backends_are_asked_for_at_each_scrape() {
    let metrics = full();
    let counters = BackendMetrics::default();
    counters.retries.add(3);
    metrics.observe_backends(move |each| {
        each(BackendSample {
            name: "service/shop/cart/80",
            counters: &counters,
            connections: 4,
            requests: 5,
            pending: 6,
            endpoints: 7,
            healthy: 2,
        });
    });
    let text = metrics.encode();
    for line in [
        "diolkos_backend_retries_total{backend=\"service/shop/cart/80\"} 3",
        "diolkos_backend_connections_active{backend=\"service/shop/cart/80\"} 4",
        "diolkos_backend_endpoints_healthy{backend=\"service/shop/cart/80\"} 2",
        "diolkos_snapshot_generation 0",
        "diolkos_compile_errors_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
