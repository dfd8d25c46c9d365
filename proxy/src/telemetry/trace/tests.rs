//! Trace context passed on, spans exported.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;

use super::otlp::{ExportRequest, Value};
use super::*;

fn facts() -> SpanFacts<'static> {
    SpanFacts {
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_022_523),
        duration: Duration::from_millis(12),
        method: "GET",
        scheme: "https",
        authority: "shop.example",
        path: "/cart",
        version: "2",
        route: Some("shop/cart/0"),
        backend: Some("service/shop/cart/80"),
        upstream: Some("10.0.0.1:8080".parse().unwrap()),
        client: Some("192.0.2.1:999".parse().unwrap()),
        status: 503,
        flags: Flags::UPSTREAM_CONNECTION_FAILURE,
        retries: 1,
    }
}

type Seen = mpsc::UnboundedReceiver<(http::request::Parts, Bytes)>;

/// A collector that takes what comes and tells of it.
async fn collector(grpc: bool) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    let (head, body) = request.into_parts();
                    tell.send((head, body.collect().await.unwrap().to_bytes())).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    let frames =
                        [Ok::<_, Infallible>(Frame::data(Bytes::new())), Ok(Frame::trailers(trailers))];
                    Ok::<_, Infallible>(Response::new(StreamBody::new(futures_util::stream::iter(frames))))
                }
            });
            let io = TokioIo::new(stream);
            if grpc {
                tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
            } else {
                tokio::spawn(http1::Builder::new().serve_connection(io, service));
            }
        }
    });
    (address, seen)
}

fn tracer(metrics: &Arc<Metrics>) -> Arc<Tracer> {
    Tracer::gathering(metrics.clone(), Handle::current(), Duration::from_millis(1))
}

fn check(request: &ExportRequest, context: &SpanContext) {
    let spans = &request.resource_spans[0];
    let attributes = &spans.resource.as_ref().unwrap().attributes;
    assert!(attributes.iter().any(|attribute| attribute.key == "service.name"));
    let span = &spans.scope_spans[0].spans[0];
    assert_eq!(span.trace_id, context.trace.0.to_be_bytes());
    assert_eq!((span.name.as_str(), span.parent_span_id.len()), ("GET shop/cart/0", 8));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 12_000_000);
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    let value = |key: &str| {
        let attribute = span.attributes.iter().find(|attribute| attribute.key == key).unwrap();
        attribute.value.clone().unwrap().value.unwrap()
    };
    assert_eq!(value("http.response.status_code"), Value::Number(503));
    assert_eq!(value("diolkos.response_flags"), Value::Text("UF".into()));
    assert_eq!(value("network.peer.address"), Value::Text("10.0.0.1".into()));
}

#[tokio::test]
async fn spans_reach_the_collector_by_grpc_and_by_http() {
    for grpc in [true, false] {
        let (address, mut seen) = collector(grpc).await;
        let metrics = Metrics::new(1, SourceLabels::default());
        let tracer = tracer(&metrics);
        let endpoint = if grpc { address.to_string() } else { format!("http://{address}/v1/traces") };
        tracer.configure(Some(&endpoint.into()), 0).unwrap();
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", HeaderValue::from_static(parent));
        let context = tracer.begin(&mut headers).unwrap();
        tracer.end(&context, &facts());
        let (head, mut body) = seen.recv().await.unwrap();
        if grpc {
            assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            let frame = body.split_to(5);
            assert_eq!(frame[..], [&[0][..], &u32::try_from(body.len()).unwrap().to_be_bytes()].concat());
        } else {
            assert_eq!(
                (head.uri.path(), &head.headers["content-type"]),
                ("/v1/traces", &HeaderValue::from_static("application/x-protobuf"))
            );
        }
        check(&ExportRequest::decode(body).unwrap(), &context);
        while metrics.spans_exported.value() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.spans_dropped.value(), 0);
    }
}

#[tokio::test]
async fn nothing_is_touched_without_an_exporter() {
    let metrics = Metrics::new(1, SourceLabels::default());
    let tracer = tracer(&metrics);
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static("whatever it is"));
    assert_eq!(tracer.begin(&mut headers), None);
    assert_eq!(headers["traceparent"], "whatever it is");
    let error = tracer.configure(Some(&"ftp://c:1".into()), 10_000).unwrap_err();
    assert!(error.to_string().contains("HOST:4317"), "{error}");
    assert!(!tracer.enabled());
}

#[tokio::test]
async fn sampling_decides_only_about_new_traces() {
    let metrics = Metrics::new(1, SourceLabels::default());
    let tracer = tracer(&metrics);
    for (share, expected) in [(0, 0), (10_000, 200)] {
        tracer.configure(Some(&"127.0.0.1:1".into()), share).unwrap();
        let sampled = (0..200).filter(|_| tracer.begin(&mut HeaderMap::new()).unwrap().is_sampled()).count();
        assert_eq!(sampled, expected);
    }
}

#[tokio::test]
async fn full_queue_drops_and_counts() {
    let metrics = Metrics::new(1, SourceLabels::default());
    let tracer = tracer(&metrics);
    tracer.configure(Some(&"127.0.0.1:1".into()), 10_000).unwrap();
    // The exporter's task has no chance to run within this loop.
    for _ in 0..QUEUE + 10 {
        let context = tracer.begin(&mut HeaderMap::new()).unwrap();
        tracer.end(&context, &facts());
    }
    assert_eq!(metrics.spans_dropped.value(), 10);
}

#[tokio::test]
async fn dead_collector_costs_only_spans() {
    let metrics = Metrics::new(1, SourceLabels::default());
    let tracer = tracer(&metrics);
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    tracer.configure(Some(&dead.to_string().into()), 10_000).unwrap();
    let context = tracer.begin(&mut HeaderMap::new()).unwrap();
    tracer.end(&context, &facts());
    while metrics.spans_dropped.value() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.spans_exported.value(), 0);
}
