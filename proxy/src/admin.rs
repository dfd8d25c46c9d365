//! Administration over HTTP, on the control runtime: what the proxy serves, why, and how it fares.
//!
//! Three surfaces with ports of their own. *Admin* shows the configuration and belongs on loopback; *health* and
//! *metrics* say only what a kubelet or Prometheus needs and may face the cluster.

mod guard;
mod pages;
mod query;
mod views;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::compiled::Compiled;
use crate::drain::Readiness;
use crate::mesh::MeshIdentities;
use crate::overload::Overload;
use crate::settings::SetLogLevel;
use crate::telemetry::metrics::Metrics;

/// What a port shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Surface {
    /// Everything.
    Admin,
    /// `/healthz/ready`, `/healthz/live`.
    Health,
    /// `/stats/prometheus`, `/metrics`.
    Metrics,
}

/// What the surfaces show and may do.
#[derive(Debug)]
pub struct Admin {
    /// What is served.
    pub compiled: Arc<ArcSwapOption<Compiled>>,
    /// Workload identities at work.
    pub identities: Arc<ArcSwap<MeshIdentities>>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// How full the process is.
    pub overload: Arc<Overload>,
    /// Whether the proxy may get traffic.
    pub readiness: Readiness,
    /// What can be done to the process.
    pub controls: Controls,
}

/// What can be done to the process; the process decides how.
#[derive(Clone)]
pub struct Controls {
    /// The log filter now, as `tracing-subscriber` writes it.
    pub log_level: Arc<dyn Fn() -> String + Send + Sync>,
    /// Sets the log filter.
    pub set_log_level: Arc<SetLogLevel>,
    /// Begins the drain.
    pub drain: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Controls")
    }
}

/// A bound surface.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    surface: Surface,
}

impl Port {
    /// Binds a surface; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr, surface: Surface) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, surface })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn serve(self, admin: Arc<Admin>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (admin, surface) = (admin.clone(), self.surface);
                    tokio::spawn(async move {
                        if let Err(error) = connection(stream, surface, admin).await {
                            debug!(%error, %peer, "Admin connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors, say: the data workers free some in time.
                    warn!(%error, surface = ?self.surface, "Admin connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, surface: Surface, admin: Arc<Admin>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(request, surface, admin).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Answers one request. Bodies of requests are not read.
async fn answer(request: Request<Incoming>, surface: Surface, admin: Arc<Admin>) -> Response<Full<Bytes>> {
    let (head, _) = request.into_parts();
    if surface == Surface::Admin
        && let Err(refusal) = guard::check(&head.headers)
    {
        return pages::refused(&refusal);
    }
    // Dumps of large configurations take a while to write: not on the thread that also checks health.
    let written = tokio::task::spawn_blocking(move || pages::answer(&head, surface, &admin)).await;
    written.unwrap_or_else(|error| pages::failed(&error.to_string()))
}

/// Connections of one surface at once.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEADER: usize = 16 * 1024;
/// Between two tries to accept when that fails.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
