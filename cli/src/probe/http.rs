//! HTTP/1.1, HTTP/2 and gRPC.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, Probe, ProbeError, Target};

/// One request over HTTP/1.1.
pub(super) async fn http1<S>(probe: &Probe, target: &Target, stream: S) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection);
    let mut request = request(probe, target, &target.path)?;
    if !request.headers().contains_key(HOST) {
        let host = target
            .authority()
            .parse()
            .map_err(|_| ProbeError::Usage("the host is no header value".to_owned()))?;
        request.headers_mut().insert(HOST, host);
    }
    answer(sender.send_request(request).await.map_err(failed)?).await
}

/// One request over HTTP/2 with prior knowledge, or over TLS that settled on it.
pub(super) async fn http2<S>(probe: &Probe, target: &Target, stream: S) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(failed)?;
    tokio::spawn(connection);
    let scheme = if target.is_tls() { "https" } else { "http" };
    let authority = host_header(probe).unwrap_or_else(|| target.authority());
    let mut request = request(probe, target, &format!("{scheme}://{authority}{}", target.path))?;
    request.headers_mut().remove(HOST);
    answer(sender.send_request(request).await.map_err(failed)?).await
}

fn host_header(probe: &Probe) -> Option<String> {
    probe.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.clone())
}

fn request(probe: &Probe, target: &Target, uri: &str) -> Result<Request<Full<Bytes>>, ProbeError> {
    let grpc = target.scheme.starts_with("grpc");
    let body = match &probe.data {
        // A gRPC message: not compressed, length, content. Without data an empty one, which every method takes.
        data if grpc => message(data.as_deref().unwrap_or_default().as_bytes()),
        Some(data) => Bytes::from(data.clone()),
        None => Bytes::new(),
    };
    let default = if grpc || probe.data.is_some() { "POST" } else { "GET" };
    let mut request = Request::builder().method(probe.method.as_deref().unwrap_or(default)).uri(uri);
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    if grpc {
        request = request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
    }
    request.body(Full::new(body)).map_err(|error| ProbeError::Usage(error.to_string()))
}

fn message(content: &[u8]) -> Bytes {
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(content);
    message.into()
}

async fn answer(response: Response<Incoming>) -> Result<Answer, ProbeError> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(failed)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let fields = |map: &hyper::HeaderMap| -> Vec<(String, String)> {
        map.iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect()
    };
    let grpc_status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    let mut headers = fields(&head.headers);
    headers.extend(fields(&trailers));
    Ok(Answer {
        status: format!("{:?} {}", head.version, head.status),
        success: head.status.is_success() && grpc_status.is_none_or(|status| status == "0"),
        headers,
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    })
}

fn failed(error: hyper::Error) -> ProbeError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    ProbeError::Failed(text)
}
