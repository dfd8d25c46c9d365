//! Publishes our trust bundle (SPIFFE Federation §5): a GET over HTTPS, for everybody.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::ca::authority::Authority;
use crate::serve::{self, Door};
use crate::tls::{Clients, Serving, provider, server_config};

/// Serves the bundle for as long as it runs.
///
/// # Errors
/// The TLS library refuses the parts.
pub(crate) fn serve(
    listener: TcpListener,
    authority: Arc<Authority>,
    serving: Arc<Serving>,
    door: Door,
) -> Result<impl Future<Output = ()> + Send + 'static, rustls::Error> {
    let config = server_config(serving, Clients::Anonymous, &[b"h2", b"http/1.1"])?;
    Ok(serve::tls(listener, config, door, move |stream, _| {
        let authority = authority.clone();
        async move {
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let handle = move |request: Request<Incoming>| {
                let answer = answer(&request, &authority);
                async move { Ok::<_, Infallible>(answer) }
            };
            if is_h2 {
                serve::http2(stream, handle).await;
            } else {
                serve::http1(stream, handle).await;
            }
        }
    }))
}

fn answer(request: &Request<Incoming>, authority: &Authority) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    if !PATHS.contains(&request.uri().path()) {
        return plain(StatusCode::NOT_FOUND, "the bundle is at /");
    }
    // Before it is read: then it is the new one, or the rotation waits.
    authority.note_fetched();
    let document = authority.current().bundle.to_document();
    let mut response = Response::new(Full::new(document.into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    // A cache in between would hide a new root.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// The certificate of `https_web`, from files.
#[derive(Debug)]
pub(crate) struct WebCertificate {
    certificate: PathBuf,
    key: PathBuf,
    serving: Arc<Serving>,
    text: (String, String),
}

impl WebCertificate {
    /// Reads the files.
    ///
    /// # Errors
    /// In words, without a part of the key.
    pub(crate) async fn load(certificate: &Path, key: &Path, serving: Arc<Serving>) -> Result<Self, String> {
        let mut loaded = Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            serving,
            text: Default::default(),
        };
        loaded.reload().await?;
        Ok(loaded)
    }

    async fn reload(&mut self) -> Result<bool, String> {
        let certificate = read(&self.certificate).await?;
        let key = read(&self.key).await?;
        if (&certificate, &key) == (&self.text.0, &self.text.1) {
            return Ok(false);
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let chain = chain.map_err(|_| format!("{} is not PEM", self.certificate.display()))?;
        let der = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| format!("{} holds no private key", self.key.display()))?;
        let signing = provider()
            .key_provider
            .load_private_key(der)
            .map_err(|_| format!("the key in {} cannot be used", self.key.display()))?;
        let pair = CertifiedKey::new(chain, signing);
        pair.keys_match().map_err(|error| error.to_string())?;
        self.serving.set(pair);
        self.text = (certificate, key);
        Ok(true)
    }

    /// Follows the files.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.reload().await {
                Ok(true) => info!("Certificate of the bundle endpoint was read again"),
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "Certificate of the bundle endpoint cannot be read; the one in use goes on")
                }
            }
        }
    }
}

async fn read(path: &Path) -> Result<String, String> {
    tokio::fs::read_to_string(path).await.map_err(|error| format!("{}: {error}", path.display()))
}

/// Where it is.
const PATHS: [&str; 3] = ["/", "/bundle", "/bundle.json"];
/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
