//! A client of the Istio CA port, and requests for it.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use identity::Clock;
use identity::proto::istio::istio_certificate_service_client::IstioCertificateServiceClient;
use identity::proto::istio::{IstioCertificateRequest, IstioCertificateResponse};
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How to reach an issuer.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) clock: Clock,
}

/// A certificate that a client shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Vec<u8>,
}

#[derive(Debug)]
struct ByClock(Clock);

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.now().duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl Client {
    pub(crate) fn tls(&self, shown: Option<&Shown>, alpn: &[u8]) -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).unwrap();
        }
        let builder =
            rustls::ClientConfig::builder_with_details(provider, Arc::new(ByClock(self.clock.clone())))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match shown {
            Some(shown) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.clone()));
                builder.with_client_auth_cert(shown.chain.clone(), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    pub(crate) async fn connect(&self, shown: Option<&Shown>) -> IstioCertificateServiceClient<Channel> {
        let (config, address) = (self.tls(shown, b"h2"), self.address);
        let connector = tower::service_fn(move |_| {
            let config = config.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("issuer.test").unwrap();
                let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let channel = Endpoint::from_static("http://issuer.test").connect_with_connector(connector).await;
        IstioCertificateServiceClient::new(channel.unwrap())
    }

    /// One call on one connection.
    pub(crate) async fn call(
        &self,
        shown: Option<&Shown>,
        request: Request<IstioCertificateRequest>,
    ) -> Result<IstioCertificateResponse, Status> {
        let answer = self.connect(shown).await.create_certificate(request).await?;
        Ok(answer.into_inner())
    }
}

/// A request with a token, as an agent sends it.
pub(crate) fn request(token: Option<&str>, csr: &str) -> Request<IstioCertificateRequest> {
    let message =
        IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 600, ..Default::default() };
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// A request for a certificate, in PEM.
pub(crate) fn csr(change: impl FnOnce(&mut CertificateParams)) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (csr_of(&key, change), key)
}

pub(crate) fn csr_of(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// The certificates of an answer: the chain, and the roots.
pub(crate) fn split(
    answer: &IstioCertificateResponse,
) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
    use rustls_pki_types::pem::PemObject;
    let read = |text: &String| {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let (roots, chain) = answer.cert_chain.split_last().unwrap();
    (chain.iter().flat_map(read).collect(), read(roots))
}
