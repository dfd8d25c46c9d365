//! Takes connections in: plain ones, or only those of mesh peers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use identity::ServerTlsConfig;
use model::PeerProfile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Either kind of connection.
pub(super) type Stream = Pin<Box<dyn Duplex>>;

/// Bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A listening socket and who may come in.
pub(super) struct Door {
    listener: TcpListener,
    mesh: Option<TlsAcceptor>,
}

impl Door {
    pub(super) async fn bind(address: SocketAddr, mesh: Option<ServerTlsConfig>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, mesh: mesh.map(|mesh| TlsAcceptor::from(mesh.config)) })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Hands every connection on, with the caller's identity if it has shown one, until dropped.
    pub(super) async fn serve<F>(self, handle: impl Fn(Stream, Option<Arc<str>>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut handshakes = JoinSet::new();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => _ = handshakes.spawn(enter(stream, self.mesh.clone())),
                    // Out of descriptors: wait for a connection to end.
                    Err(_) => _ = connections.join_next().await,
                },
                Some(entered) = handshakes.join_next() => {
                    if let Ok(Some((stream, caller))) = entered {
                        connections.spawn(handle(stream, caller));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn enter(stream: TcpStream, mesh: Option<TlsAcceptor>) -> Option<(Stream, Option<Arc<str>>)> {
    // Nagle's algorithm only delays; a socket that refuses the option works all the same.
    _ = stream.set_nodelay(true);
    let Some(mesh) = mesh else { return Some((Box::pin(stream), None)) };
    match mesh.accept(stream).await {
        Ok(stream) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let caller = identity::peer_facts(certificates, PeerProfile::SpiffeStrict);
            let caller = caller.map(|peer| peer.id.to_string().into());
            Some((Box::pin(stream), caller))
        }
        Err(error) => {
            tracing::info!(%error, "Sample workload refused a caller");
            None
        }
    }
}
