//! Accepts connections, bounded in number and in the time that their beginning may take, and speaks HTTP on them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::caller::Peer;
use crate::metrics::Metrics;

/// What every listener needs.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    /// How many each has, by address or user. Nobody may have all of them.
    shares: Arc<Mutex<HashMap<String, usize>>>,
    share: usize,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Door {
    pub(crate) fn new(connections: usize, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        let share = (connections / SHARES).max(1);
        let places = Arc::new(Semaphore::new(connections.max(1)));
        Self { places, shares: Arc::default(), share, metrics, stop }
    }

    /// Runs a connection of `who` beside the others once there is a place for it, unless that one has its share.
    pub(crate) async fn admit(&self, who: String, connection: impl Future<Output = ()> + Send + 'static) {
        let Some(share) = Share::take(self, who) else { return };
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let (metrics, stop) = (self.metrics.clone(), self.stop.clone());
        tokio::spawn(async move {
            metrics.connections.inc();
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
            metrics.connections.dec();
            drop((place, share));
        });
    }
}

/// One connection of somebody's share; given back when it is dropped.
struct Share {
    shares: Arc<Mutex<HashMap<String, usize>>>,
    who: String,
}

impl Share {
    fn take(door: &Door, who: String) -> Option<Self> {
        let mut shares = door.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shares.entry(who.clone()).or_default();
        if *held >= door.share {
            debug!(%who, "Connection refused: its caller has enough of them");
            return None;
        }
        *held += 1;
        Some(Self { shares: door.shares.clone(), who })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = shares.get_mut(&self.who) {
            *held -= 1;
            if *held == 0 {
                shares.remove(&self.who);
            }
        }
    }
}

/// Accepts TLS connections for as long as it runs.
pub(crate) async fn tls<H, F>(listener: TcpListener, config: Arc<ServerConfig>, door: Door, handle: H)
where
    H: Fn(tokio_rustls::server::TlsStream<tokio::net::TcpStream>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(config);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, say: connections that end free some.
                warn!(%error, "Connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (acceptor, handle) = (acceptor.clone(), handle.clone());
        let connection = async move {
            let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return debug!(%error, %address, "TLS handshake failed"),
                Err(_) => return debug!(%address, "TLS handshake took too long"),
            };
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let chain = shown.iter().map(|der| der.clone().into_owned()).collect();
            handle(stream, Peer { address, chain }).await;
        };
        door.admit(address.ip().to_string(), connection).await;
    }
}

/// Speaks HTTP/2 on a connection until it ends.
pub(crate) async fn http2<S, H, F, B>(stream: S, handle: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(handle))
        .await;
    if let Err(error) = served {
        debug!(%error, "Connection ended");
    }
}

/// Speaks HTTP/1.1 on a connection until it ends.
pub(crate) async fn http1<S, H, F, B>(stream: S, handle: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(handle))
        .await;
    if let Err(error) = served {
        debug!(%error, "Connection ended");
    }
}

/// For a TLS handshake, and for the head of a request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 64;
/// Bytes of a request's headers: a token of 16 KiB fits.
const MAX_HEADERS: u32 = 32 * 1024;
/// How many callers can have their full share at once.
const SHARES: usize = 4;

#[cfg(test)]
mod tests;
