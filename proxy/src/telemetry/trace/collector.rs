//! A client for an OTLP collector: gRPC, or HTTP with a protobuf body.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{ClientAlpn, client_config};
use model::{ClientTls, Roots};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where the collector is and how it is spoken to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Endpoint {
    text: Arc<str>,
    host: String,
    port: u16,
    tls: bool,
    /// Path of OTLP over HTTP; none: gRPC.
    path: Option<String>,
}

/// A text that names no collector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no OTLP endpoint: {reason}; write HOST:4317 (gRPC) or http://HOST:4318 (HTTP)")]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// `HOST:PORT` and URLs without a path are gRPC, unless the port is 4318, the registered one for HTTP.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refuse = |reason| EndpointError { text: text.to_owned(), reason };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| refuse("it is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http" | "grpc") => false,
            Some("https" | "grpcs") => true,
            _ => return Err(refuse("the scheme is neither http nor https")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it has no host"))?;
        let port = uri.port_u16().unwrap_or(4317);
        let path = uri.path();
        let path = match (path.trim_end_matches('/'), port) {
            ("", 4318) => Some("/v1/traces".to_owned()),
            ("", _) => None,
            _ => Some(path.to_owned()),
        };
        Ok(Self { text: text.into(), host: host.to_owned(), port, tls, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why spans did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("collector cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    #[error("TLS to the collector cannot be set up: {0}")]
    Tls(String),
    #[error("collector broke the connection: {0}")]
    Http(#[from] hyper::Error),
    #[error("request to the collector is malformed: {0}")]
    Request(#[from] http::Error),
    #[error("collector answered {0}")]
    Status(StatusCode),
    #[error("collector answered gRPC status {0:?}")]
    Grpc(HeaderValue),
    #[error("collector's answer cannot be read: {0}")]
    Answer(String),
}

/// A connection that is kept and made anew when it breaks.
pub(super) struct Collector {
    endpoint: Endpoint,
    connection: Option<Connection>,
}

enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Collector {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Drops the connection: the next export makes another.
    pub(super) fn reset(&mut self) {
        self.connection = None;
    }

    /// Sends an encoded `ExportTraceServiceRequest`.
    pub(super) async fn export(&mut self, message: Vec<u8>) -> Result<(), ExportError> {
        let closed = match &self.connection {
            None => true,
            Some(Connection::Http(sender)) => sender.is_closed(),
            Some(Connection::Grpc(sender)) => sender.is_closed(),
        };
        if closed {
            self.connection = Some(self.endpoint.connect().await?);
        }
        match &mut self.connection {
            Some(Connection::Http(sender)) => http(sender, &self.endpoint, message).await,
            Some(Connection::Grpc(sender)) => grpc(sender, &self.endpoint, &message).await,
            None => Ok(()),
        }
    }
}

async fn http(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    endpoint: &Endpoint,
    message: Vec<u8>,
) -> Result<(), ExportError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.path.as_deref().unwrap_or("/v1/traces"))
        .header(header::HOST, format!("{}:{}", endpoint.host, endpoint.port))
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(Full::from(message))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    body.map_err(|error| ExportError::Answer(error.to_string()))?;
    if status.is_success() { Ok(()) } else { Err(ExportError::Status(status)) }
}

async fn grpc(
    sender: &mut http2::SendRequest<Full<Bytes>>,
    endpoint: &Endpoint,
    message: &[u8],
) -> Result<(), ExportError> {
    // gRPC over HTTP/2: one byte "not compressed", the length, the message.
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let scheme = if endpoint.tls { "https" } else { "http" };
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{}:{}{EXPORT}", endpoint.host, endpoint.port))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::from(frame.freeze()))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| ExportError::Answer(error.to_string()))?;
    if head.status != StatusCode::OK {
        return Err(ExportError::Status(head.status));
    }
    // An answer without a body carries its status in the head.
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    match status.or_else(|| head.headers.get("grpc-status")) {
        Some(status) if status != "0" => Err(ExportError::Grpc(status.clone())),
        Some(_) => Ok(()),
        None => Err(ExportError::Answer("no grpc-status".to_owned())),
    }
}

impl Endpoint {
    async fn connect(&self) -> Result<Connection, ExportError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        if !self.tls {
            return self.handshake(stream).await;
        }
        let tls = ClientTls {
            server_name: host.into(),
            roots: Roots::System,
            names: Vec::new(),
            certificate: None,
        };
        let alpn = if self.path.is_some() { ClientAlpn::Http1 } else { ClientAlpn::Http2 };
        let tls = client_config(&tls, None, alpn).map_err(|error| ExportError::Tls(error.to_string()))?;
        let stream = TlsConnector::from(tls.config.clone()).connect(tls.server_name.clone(), stream).await?;
        self.handshake(stream).await
    }

    async fn handshake<S>(&self, stream: S) -> Result<Connection, ExportError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        if self.path.is_some() {
            let (sender, connection) = http1::handshake(io).await?;
            // The connection's error reaches the sender as well.
            tokio::spawn(async move { drop(connection.await) });
            Ok(Connection::Http(sender))
        } else {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Connection::Grpc(sender))
        }
    }
}

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_say_how_they_are_spoken_to() {
        for (text, host, port, tls, path) in [
            ("otel-collector:4317", "otel-collector", 4317, false, None),
            ("otel-collector", "otel-collector", 4317, false, None),
            ("10.0.0.1:4318", "10.0.0.1", 4318, false, Some("/v1/traces")),
            ("http://[::1]:4318/", "[::1]", 4318, false, Some("/v1/traces")),
            ("http://c:9999/otlp/v1/traces", "c", 9999, false, Some("/otlp/v1/traces")),
            ("https://c.example:443", "c.example", 443, true, None),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let found = (&*endpoint.host, endpoint.port, endpoint.tls, endpoint.path.as_deref());
            assert_eq!(found, (host, port, tls, path), "{text}");
            assert_eq!(endpoint.to_string(), text);
        }
        for bad in ["", "ftp://c:1", "http://", "a b", "http://:4317"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
