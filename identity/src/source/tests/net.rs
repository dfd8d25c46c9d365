//! A network in memory: names that lead to fakes, to nowhere, or to a refusal.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::server::{Connected, Router};

use crate::dial::{BoxedIo, Dialer, Io};
use crate::testing::TestCa;
use crate::tls::provider;

/// Addresses (as a target prints itself) and where they lead; whatever is not here is refused.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<HashMap<String, Place>>>);

enum Place {
    Server(mpsc::UnboundedSender<DuplexStream>),
    BlackHole,
}

impl Net {
    pub(crate) fn dialer(&self) -> Dialer {
        let places = Arc::clone(&self.0);
        Dialer::new(move |target| {
            let places = Arc::clone(&places);
            Box::pin(async move {
                let end = match places.lock().unwrap().get(&target.to_string()) {
                    None => return Err(io::ErrorKind::ConnectionRefused.into()),
                    Some(Place::BlackHole) => None,
                    Some(Place::Server(server)) => {
                        let (ours, theirs) = tokio::io::duplex(1 << 16);
                        server.send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
                        Some(ours)
                    }
                };
                match end {
                    Some(end) => Ok(Box::new(end) as BoxedIo),
                    None => std::future::pending().await,
                }
            })
        })
    }

    /// What connects to the address comes out here.
    pub(crate) fn listen(&self, address: &str) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap().insert(address.to_owned(), Place::Server(sender));
        receiver
    }

    pub(crate) fn black_hole(&self, address: &str) {
        self.0.lock().unwrap().insert(address.to_owned(), Place::BlackHole);
    }

    pub(crate) fn refuse(&self, address: &str) {
        self.0.lock().unwrap().remove(address);
    }

    /// A gRPC server at the address, behind TLS if there is a configuration.
    pub(crate) fn serve(&self, address: &str, tls: Option<Arc<ServerConfig>>, router: Router) {
        let mut incoming = self.listen(address);
        let (sender, receiver) = mpsc::unbounded_channel::<Result<Conn, Infallible>>();
        tokio::spawn(async move {
            while let Some(stream) = incoming.recv().await {
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    let conn = match tls {
                        None => Conn { io: Box::new(stream), certificate: false },
                        Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                            Ok(stream) => Conn {
                                certificate: stream.get_ref().1.peer_certificates().is_some(),
                                io: Box::new(stream),
                            },
                            Err(_) => return,
                        },
                    };
                    let _ = sender.send(Ok(conn));
                });
            }
        });
        tokio::spawn(router.serve_with_incoming(UnboundedReceiverStream::new(receiver)));
    }
}

/// TLS of a server that is `name`, by a certificate of `ca`. A client may show a certificate of `clients`.
pub(crate) fn server_tls(
    ca: &TestCa,
    name: &str,
    clients: Option<&TestCa>,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let issued = ca.issue_with(name, |_| {});
    server_tls_with(issued.chain.clone(), issued.key_der(), clients, alpn)
}

pub(crate) fn server_tls_with(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: rustls::pki_types::PrivateKeyDer<'static>,
    clients: Option<&TestCa>,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_details(Arc::clone(provider()), Arc::new(AtStart))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.root().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider()))
                    .allow_unauthenticated()
                    .build()
                    .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Clients' certificates begin near the tests' own time, not the system's.
#[derive(Debug)]
struct AtStart;

impl TimeProvider for AtStart {
    fn current_time(&self) -> Option<UnixTime> {
        let since = super::start_time().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// A connection that a fake server has accepted.
pub(crate) struct Conn {
    io: Box<dyn Io>,
    certificate: bool,
}

/// What a fake knows of the connection of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnFacts {
    /// Whether the client has shown a certificate, a good one.
    pub(crate) certificate: bool,
}

impl Connected for Conn {
    type ConnectInfo = ConnFacts;

    fn connect_info(&self) -> ConnFacts {
        ConnFacts { certificate: self.certificate }
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
