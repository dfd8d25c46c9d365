//! TLS for the probe: verified by a file of CA certificates, or, if asked for, not at all.

use std::path::Path;
use std::sync::Arc;

use identity::{ClientAlpn, HandshakeError, MeshClient};
use model::MeshWire;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ProbeError;
use crate::workload;

/// Makes a TLS connection of a TCP connection.
pub(super) async fn connect(
    tcp: TcpStream,
    host: &str,
    alpn: &[&[u8]],
    ca: Option<&Path>,
    insecure: bool,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::Failed(error.to_string()))?;
    let mut config = match (insecure, ca) {
        (true, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth(),
        (false, Some(ca)) => builder.with_root_certificates(roots(ca)?).with_no_client_auth(),
        (false, None) => {
            return Err(ProbeError::Usage(
                "say --cacert FILE to verify the server by, or --insecure".to_owned(),
            ));
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|error| ProbeError::Usage(error.to_string()))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|error| ProbeError::Failed(format!("TLS: {error}")))
}

/// The same as a mesh peer: with the SVID of a Workload API, to a server of that SPIFFE ID.
pub(super) async fn connect_in_mesh(
    tcp: TcpStream,
    alpn: &[&[u8]],
    socket: &str,
    server: &str,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let (identity, _running) = workload::identity(socket).await.map_err(ProbeError::Failed)?;
    let alpn = match alpn {
        [b"h2"] => ClientAlpn::Http2,
        [] => ClientAlpn::None,
        _ => ClientAlpn::Http1,
    };
    let tls = identity::mesh_client_config(MeshClient {
        identity: &identity,
        ids: &[server.into()],
        server_name: None,
        wire: MeshWire::Spiffe,
        alpn,
    });
    let tls = tls.map_err(|error| ProbeError::Usage(error.to_string()))?;
    TlsConnector::from(tls.config)
        .connect(tls.server_name, tcp)
        .await
        .map_err(|error| ProbeError::Failed(format!("TLS: {}", HandshakeError::from(&error))))
}

fn roots(ca: &Path) -> Result<RootCertStore, ProbeError> {
    let usage = |error: String| ProbeError::Usage(format!("{}: {error}", ca.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| usage(error.to_string()))? {
        let certificate = certificate.map_err(|error| usage(error.to_string()))?;
        roots.add(certificate).map_err(|error| usage(error.to_string()))?;
    }
    if roots.is_empty() { Err(usage("holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Believes any server: only for `--insecure`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
