//! One gRPC connection for one call. Renewals are hours apart: a connection that is kept would be dead when it is
//! needed, hold on to an address and to roots that are gone, and its keepalives would annoy servers that forbid them.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use model::{ClientTls, Roots, RootsFrom, TrustAnchors};
use rustls::ClientConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::ask::AskError;
use super::watched::{self, ReadError};
use crate::dial::{Dialer, Target};
use crate::tls::ConfigError;
use crate::tls::client::{ClientAlpn, ClientTlsConfig, client_config};

/// A channel over a new connection. `tls` none: plaintext (Workload API).
pub(crate) async fn channel(
    dialer: &Dialer,
    target: &Target,
    tls: Option<&ClientTlsConfig>,
) -> Result<Channel, AskError> {
    let mut io = Some(dialer.dial(target, tls).await?);
    let connector = service_fn(move |_| {
        // A second connection would be one that nobody verified in time.
        let io = io.take().map(TokioIo::new);
        std::future::ready(io.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)))
    });
    let authority = match target {
        Target::Tcp(..) => target.to_string(),
        Target::Unix(_) => "localhost".to_owned(),
    };
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
        .connect_timeout(HTTP2)
        .user_agent(concat!("diolkos/", env!("CARGO_PKG_VERSION")))?;
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// Runs a call, in time. `secret` is what must not come back in an error.
pub(crate) async fn call<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    secret: &str,
) -> Result<T, AskError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(AskError::status(&status, secret)),
        Err(_) => Err(AskError::Timeout(CALL)),
    }
}

/// TLS to a CA: by these roots and this name.
pub(crate) fn tls(roots: Roots, name: &Arc<str>, alpn: ClientAlpn) -> Result<ClientTlsConfig, ConfigError> {
    let tls = ClientTls { server_name: Arc::clone(name), roots, names: Vec::new(), certificate: None };
    client_config(&tls, None, alpn)
}

/// The same, showing a certificate.
pub(crate) fn with_certificate(tls: &ClientTlsConfig, key: &CertifiedKey) -> ClientTlsConfig {
    let mut config = ClientConfig::clone(&tls.config);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key.clone()));
    let mut tls = tls.clone();
    tls.config = Arc::new(config);
    tls
}

/// Roots as they are now.
pub(crate) async fn roots(from: &RootsFrom) -> Result<Roots, ReadError> {
    Ok(match from {
        RootsFrom::System => Roots::System,
        RootsFrom::Pem(anchors) => Roots::Pem(anchors.clone()),
        RootsFrom::File(path) => Roots::Pem(TrustAnchors(watched::read(path).await?.into())),
    })
}

/// Time for an answer.
pub(crate) const CALL: Duration = Duration::from_secs(10);
/// The connection is there; this is for HTTP/2 to begin.
const HTTP2: Duration = Duration::from_secs(2);
