//! HTTP: a JSON answer that says what arrived; `?status=`, `?bytes=` and `?delay=` (milliseconds) change it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};

use super::door::Stream;
use super::{grpc, websocket};

/// Any body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Serves one connection.
pub(super) async fn connection(stream: Stream, workload: Arc<str>, caller: Option<Arc<str>>) {
    let service = service_fn(move |request| {
        let (workload, caller) = (Arc::clone(&workload), caller.clone());
        async move { Ok::<_, Infallible>(answer(request, &workload, caller.as_deref()).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "Echo connection ended");
    }
}

async fn answer(request: Request<Incoming>, workload: &str, caller: Option<&str>) -> Response<Body> {
    if grpc::is_grpc(request.headers()) {
        return grpc::answer(request);
    }
    if websocket::is_websocket(request.headers()) {
        return websocket::answer(request);
    }
    let query = Query::read(request.uri().query().unwrap_or_default());
    tokio::time::sleep(query.delay).await;
    let (head, body) = request.into_parts();
    let received = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
    };
    let content = match query.bytes {
        Some(bytes) => Bytes::from(vec![b'x'; bytes.min(LARGEST_BODY)]),
        None => {
            let mut seen = json!({
                "workload": workload,
                "method": head.method.as_str(),
                "path": head.uri.path_and_query().map_or("", |path| path.as_str()),
                "host": host(&head),
                "protocol": format!("{:?}", head.version),
                "headers": headers(&head.headers),
                "bodyBytes": received.len(),
            });
            if let (Some(caller), Some(seen)) = (caller, seen.as_object_mut()) {
                seen.insert("caller".to_owned(), caller.into());
            }
            Bytes::from(format!("{seen:#}\n"))
        }
    };
    let mut response = Response::new(full(content));
    *response.status_mut() = query.status;
    let kind = if query.bytes.is_some() { "application/octet-stream" } else { "application/json" };
    response.headers_mut().insert("content-type", kind.parse().expect("a constant of visible ASCII"));
    response
}

/// What the query asks for.
struct Query {
    status: StatusCode,
    bytes: Option<usize>,
    delay: Duration,
}

impl Query {
    fn read(query: &str) -> Self {
        let value = |name: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)
        };
        let number = |name: &str| value(name).and_then(|(_, number)| number.parse::<usize>().ok());
        Self {
            status: number("status")
                .and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok())
                .unwrap_or(StatusCode::OK),
            bytes: number("bytes"),
            delay: Duration::from_millis(number("delay").unwrap_or(0).min(60_000) as u64),
        }
    }
}

fn host(head: &http::request::Parts) -> String {
    let authority = head.uri.authority().map(ToString::to_string);
    authority
        .or_else(|| {
            head.headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
        })
        .unwrap_or_default()
}

/// Name → values, in the order of the names.
fn headers(headers: &HeaderMap) -> Value {
    let mut seen = Map::new();
    for name in headers.keys() {
        let values =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        seen.insert(name.to_string(), Value::Array(values.collect()));
    }
    Value::Object(seen)
}

/// A body of known bytes.
pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A short text answer.
pub(super) fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    response
}

/// Bytes of a body, either way.
const LARGEST_BODY: usize = 64 << 20;
