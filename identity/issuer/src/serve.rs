//! Accepts connections, bounded in number and in the time that their beginning may take, and speaks HTTP on them.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
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
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::caller::Peer;
use crate::metrics::Metrics;

/// What every listener needs.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    /// Connections end when the listener does.
    tasks: TaskTracker,
    stop: tokio_util::sync::CancellationToken,
}

impl Door {
    pub(crate) fn new(
        connections: usize,
        metrics: Arc<Metrics>,
        stop: tokio_util::sync::CancellationToken,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(connections.max(1))),
            metrics,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Runs a connection beside the others, once there is a place for it.
    pub(crate) async fn admit(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let (metrics, stop) = (self.metrics.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            metrics.connections.inc();
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
            metrics.connections.dec();
            drop(place);
        });
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
        door.admit(connection).await;
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
