//! Administration over HTTP on loopback, and metrics on a port of their own.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::warn;

use crate::ca::{Overlap, RotationError};
use crate::issuer::Shared;
use crate::serve::{self, Door};

/// What a port shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Surface {
    /// Status, bundle, rotation.
    Admin,
    /// Counters.
    Metrics,
}

/// Serves for as long as it runs.
pub(crate) async fn serve(listener: TcpListener, surface: Surface, shared: Arc<Shared>, door: Door) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, ?surface, "Connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let shared = shared.clone();
        let handle = move |request: Request<Incoming>| {
            let shared = shared.clone();
            async move {
                let answer = match surface {
                    Surface::Admin => admin(&request, &shared).await,
                    Surface::Metrics => metrics(&request, &shared),
                };
                Ok::<_, Infallible>(answer)
            }
        };
        door.admit(peer.ip().to_string(), serve::http1(stream, handle)).await;
    }
}

async fn admin(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    if let Err(why) = guard(request.method(), request.headers()) {
        return failure(StatusCode::FORBIDDEN, why);
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/status") => match serde_json::to_value(shared.status()) {
            Ok(status) => answer(StatusCode::OK, &status),
            Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        (&Method::GET, "/bundle") => {
            json_text(StatusCode::OK, shared.authority.current().bundle.to_document())
        }
        (&Method::POST, "/rotate-root") => rotate(request, shared).await,
        (&Method::POST, "/bootstrap-token") => bootstrap_token(request, shared).await,
        _ => failure(
            StatusCode::NOT_FOUND,
            "there are GET /status, GET /bundle, POST /rotate-root, POST /bootstrap-token",
        ),
    }
}

async fn rotate(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    let overlap = match query(request, "force").as_deref() {
        None | Some("false") => Overlap::Keep,
        Some("true") => Overlap::Force,
        Some(_) => return failure(StatusCode::BAD_REQUEST, "force is true or false"),
    };
    match shared.rotate(overlap).await {
        Ok(rotation) => match serde_json::to_value(rotation) {
            Ok(rotation) => answer(StatusCode::OK, &rotation),
            Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Err(error @ (RotationError::UnderWay { .. } | RotationError::Files | RotationError::Upstream)) => {
            failure(StatusCode::CONFLICT, &error.to_string())
        }
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn bootstrap_token(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    let Some(registration) = query(request, "registration") else {
        return failure(StatusCode::BAD_REQUEST, "registration=NAME is missing");
    };
    let life = match query(request, "ttl").map(|ttl| ttl.parse::<u64>()) {
        None => 600,
        Some(Ok(seconds)) if (1..=MAX_TOKEN_LIFE).contains(&seconds) => seconds,
        Some(_) => return failure(StatusCode::BAD_REQUEST, "ttl is from 1 to 86400 seconds"),
    };
    match shared.bootstrap_token(&registration, Duration::from_secs(life)).await {
        Ok(token) => answer(StatusCode::OK, &json!({"token": token.expose(), "expiresIn": life})),
        Err(error) => failure(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn metrics(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET || !matches!(request.uri().path(), "/metrics" | "/stats/prometheus") {
        return failure(StatusCode::NOT_FOUND, "there is GET /metrics");
    }
    shared.refresh_gauges();
    let mut response = Response::new(Full::new(shared.mint.metrics.text().into()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}

/// Only callers that a browser cannot be: a name that resolves to loopback does not get in (DNS rebinding), and a page
/// cannot send our header to another origin.
fn guard(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if name != "localhost" && !literal.is_ok_and(|address| address.is_loopback()) {
        return Err("the host must be localhost or a loopback address");
    }
    if method == Method::POST && headers.get("x-diolkos").is_none_or(|value| value != "1") {
        return Err("a POST needs the header x-diolkos: 1");
    }
    Ok(())
}

/// A parameter of the query; names of registrations need no escapes but `%2F`, which no name has.
fn query(request: &Request<Incoming>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, v)| v.to_owned())
}

fn failure(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, &json!({"error": text}))
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    json_text(status, body.to_string())
}

fn json_text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// After a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest life of a bootstrap token, in seconds.
const MAX_TOKEN_LIFE: u64 = 86_400;
