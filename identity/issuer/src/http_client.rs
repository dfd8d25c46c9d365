//! A small HTTPS client: one request, one connection, no redirects, bounded in time and size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::provider;

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{0} is no https URL with a host")]
    Url(String),
    #[error("the roots for {url} cannot be used: {detail}")]
    Roots { url: String, detail: String },
    #[error("{url} does not answer: {detail}")]
    Connection { url: String, detail: String },
    #[error("{url} answers {status}")]
    Status { url: String, status: u16 },
    #[error("{url} does not answer in {} seconds", TIMEOUT.as_secs())]
    Timeout { url: String },
}

/// Gets a document.
///
/// # Errors
/// [`HttpError`].
pub(crate) async fn get(url: &str, roots: Option<&Path>) -> Result<Bytes, HttpError> {
    let request = Request::builder().method(Method::GET).body(Full::default());
    send(url, roots, request).await
}

/// Posts JSON with a bearer token.
///
/// # Errors
/// [`HttpError`].
pub(crate) async fn post_json(
    url: &str,
    roots: &Path,
    token: &str,
    body: Vec<u8>,
) -> Result<Bytes, HttpError> {
    let request = Request::builder()
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::new(body.into()));
    send(url, Some(roots), request).await
}

async fn send(
    url: &str,
    roots: Option<&Path>,
    request: Result<Request<Full<Bytes>>, http::Error>,
) -> Result<Bytes, HttpError> {
    let mut request = request.map_err(|error| failed(url, error))?;
    let uri: Uri = url.parse().map_err(|_| HttpError::Url(url.to_owned()))?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
    let host = host.ok_or_else(|| HttpError::Url(url.to_owned()))?.to_owned();
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| HttpError::Url(url.to_owned()))?;
    let value = authority.parse().map_err(|_| HttpError::Url(url.to_owned()))?;
    request.headers_mut().insert(header::HOST, value);
    let roots = read_roots(url, roots).await?;
    let exchange = exchange(url, &host, uri.port_u16().unwrap_or(443), roots, request);
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(result) => result,
        Err(_) => Err(HttpError::Timeout { url: url.to_owned() }),
    }
}

async fn exchange(
    url: &str,
    host: &str,
    port: u16,
    roots: RootCertStore,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(url, error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(url, error))?;
    let stream = TcpStream::connect((host, port)).await.map_err(|error| failed(url, error))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| failed(url, error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(url, error))?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(|error| failed(url, error))?;
    let status = answer.status();
    let body =
        Limited::new(answer.into_body(), MAX_BODY).collect().await.map_err(|error| failed(url, error))?;
    drop(connection);
    if !status.is_success() {
        return Err(HttpError::Status { url: url.to_owned(), status: status.as_u16() });
    }
    Ok(body.to_bytes())
}

/// Roots from a PEM file, or the system's.
async fn read_roots(url: &str, path: Option<&Path>) -> Result<RootCertStore, HttpError> {
    let wrong = |detail: String| HttpError::Roots { url: url.to_owned(), detail };
    let mut store = RootCertStore::empty();
    match path {
        Some(path) => {
            let text = tokio::fs::read(path).await.map_err(|error| wrong(error.to_string()))?;
            for root in CertificateDer::pem_slice_iter(&text) {
                let root = root.map_err(|error| wrong(error.to_string()))?;
                store.add(root).map_err(|error| wrong(error.to_string()))?;
            }
        }
        None => {
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let found = found.map_err(|error| wrong(error.to_string()))?;
            store.add_parsable_certificates(found.certs);
        }
    }
    if store.is_empty() {
        return Err(wrong("there are none".to_owned()));
    }
    Ok(store)
}

fn failed(url: &str, error: impl ToString) -> HttpError {
    HttpError::Connection { url: url.to_owned(), detail: error.to_string() }
}

/// For a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer.
const MAX_BODY: usize = 1024 * 1024;
