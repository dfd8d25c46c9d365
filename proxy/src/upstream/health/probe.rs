//! One health check: a connection, an HTTP request, or a gRPC health request.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::HttpVersion;
use model::{BackendProtocol, Probe};

use crate::upstream::connect::{self, Purpose};
use crate::upstream::endpoint::{EndpointState, Member, Way, address_text};
use crate::upstream::handle::{BackendHandle, BackendTls};
use crate::upstream::health::grpc;
use crate::upstream::resolve::Resolver;
use crate::upstream::stream::RawStream;

/// Asks once.
///
/// # Errors
/// Why the endpoint did not pass, for the log.
pub(crate) async fn ask(
    backend: &BackendHandle,
    member: &Member,
    resolver: &Resolver,
    probe: &Probe,
) -> Result<(), String> {
    let purpose = match probe {
        Probe::Tcp => Purpose::Bytes,
        Probe::Http { .. } | Probe::Grpc { .. } => Purpose::Requests,
    };
    let stream =
        connect::open(backend, member, resolver, None, purpose, None).await.map_err(|error| match &error
            .detail
        {
            Some(detail) => format!("{error}: {detail}"),
            None => error.to_string(),
        })?;
    let host = |host: &str| match host {
        "" => authority(&member.state),
        host => host.to_owned(),
    };
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path, host: name, statuses } => {
            let http2 = speaks_http2(backend, &stream);
            let scheme = scheme(backend, &member.way);
            let request = request(Method::GET, scheme, &host(name), path, http2, Bytes::new())?;
            judge_http(send(stream, request, http2).await?.status(), statuses)
        }
        Probe::Grpc { service } => {
            let body = grpc::request(service);
            let scheme = scheme(backend, &member.way);
            let mut request = request(Method::POST, scheme, &host(""), grpc::PATH, true, body)?;
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, header::HeaderValue::from_static("trailers"));
            judge_grpc(send(stream, request, true).await?).await
        }
    }
}

fn speaks_http2(backend: &BackendHandle, stream: &RawStream) -> bool {
    match stream.http_version() {
        HttpVersion::Http2 => true,
        HttpVersion::Http1 => false,
        HttpVersion::Opaque | HttpVersion::Unknown => backend.spec.protocol == BackendProtocol::Http2,
    }
}

fn scheme(backend: &BackendHandle, way: &Way) -> &'static str {
    match (way, &backend.tls) {
        (Way::AsBackend, BackendTls::Plain) => "http",
        _ => "https",
    }
}

fn authority(endpoint: &EndpointState) -> String {
    match &endpoint.address {
        model::Address::Ip(ip) => std::net::SocketAddr::new(*ip, endpoint.port).to_string(),
        model::Address::Name(_) => format!("{}:{}", address_text(&endpoint.address), endpoint.port),
    }
}

fn request(
    method: Method,
    scheme: &'static str,
    host: &str,
    path: &str,
    http2: bool,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let request = Request::builder().method(method).header(header::USER_AGENT, "diolkos-health");
    let request = if http2 {
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
        request.version(Version::HTTP_2).uri(uri.map_err(|error| error.to_string())?)
    } else {
        request.uri(path).header(header::HOST, host)
    };
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

/// Sends on a connection of its own, which ends with the response.
async fn send(
    stream: RawStream,
    request: Request<Full<Bytes>>,
    http2: bool,
) -> Result<Response<Incoming>, String> {
    let io = TokioIo::new(stream);
    let sent = if http2 {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    sent.map_err(|error| error.to_string())
}

fn judge_http(status: StatusCode, statuses: &[u16]) -> Result<(), String> {
    let good = if statuses.is_empty() { status.is_success() } else { statuses.contains(&status.as_u16()) };
    if good { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
}

async fn judge_grpc(response: Response<Incoming>) -> Result<(), String> {
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let status = |headers: &http::HeaderMap| {
        headers.get("grpc-status").map(|status| String::from_utf8_lossy(status.as_bytes()).into_owned())
    };
    let early = status(response.headers());
    let body =
        Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    match early.or_else(|| body.trailers().and_then(status)).as_deref() {
        Some("0") => grpc::judge(&body.to_bytes()),
        Some(status) => Err(format!("grpc-status {status}")),
        None => Err("no grpc-status".to_owned()),
    }
}

/// Bytes of a gRPC health answer; a sound one has seven.
const MAX_ANSWER: usize = 1024;
