//! Upstream: backends, their endpoints, how one is picked, and the connections to it.
//!
//! Policy ([`BackendHandle`]) is shared by all cores; counters are atomics in [`EndpointState`] and
//! [`BackendLive`]; connections belong to one core each ([`Upstreams`]).
//!
//! | file | what |
//! |---|---|
//! | `handle` | a backend: policy, TLS, members, live state |
//! | `members`, `balance` | tiers of endpoints and the pure picks among them |
//! | `pick` | one endpoint for one request: fitness, sessions, tiers, circuit |
//! | `outlier`, `health`, `ewma`, `budget`, `circuit` | what is learned and limited |
//! | `resolve`, `connect`, `stream` | from an endpoint to a byte stream |
//! | `pool`, `dispatch`, `body` | connections that are reused, and requests on them |

pub mod balance;
pub mod body;
pub mod budget;
pub mod circuit;
pub mod clock;
mod connect;
mod dispatch;
pub mod endpoint;
pub mod error;
pub mod ewma;
pub mod handle;
pub mod hash;
pub mod health;
pub mod members;
mod outlier;
pub mod pick;
mod pool;
pub mod resolve;
pub mod stream;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use model::BackendProtocol;

use crate::mesh::TargetId;

use clock::Moment;
use connect::Purpose;
use handle::TransportId;
use pool::{Policy, Pool};

pub use body::UpstreamBody;
pub use circuit::CircuitCounters;
pub use dispatch::LocalExecutor;
pub use endpoint::{EndpointId, EndpointState, EndpointToken, Member, Way};
pub use error::{CircuitLimit, DispatchError, UpstreamError, UpstreamErrorKind};
pub use handle::{BackendError, BackendHandle, BackendLive, BackendTls};
pub use health::HealthChecker;
pub use pick::{Attempt, PickHints, Picked, ProxySource};
pub use resolve::Resolver;
pub use stream::RawStream;

/// A request body that can be sent: `Full<Bytes>`, hyper's `Incoming`, or an enum of such.
pub trait OutBody:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

impl<T> OutBody for T where
    T: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

/// One core's connections to all backends. Use within a `LocalSet`.
#[derive(Debug)]
pub struct Upstreams<B> {
    shared: Rc<Shared<B>>,
}

#[derive(Debug)]
struct Shared<B> {
    resolver: Arc<Resolver>,
    pools: RefCell<HashMap<PoolKey, Rc<Pool<B>>, ahash::RandomState>>,
}

/// Connections are shared by requests to one endpoint that are sent in one way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct PoolKey {
    endpoint: EndpointId,
    transport: TransportId,
    /// Who the endpoint must be, and who we are to it.
    mesh: Option<TargetId>,
    purpose: Purpose,
}

impl<B> Clone for Upstreams<B> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<B: OutBody> Upstreams<B> {
    /// No connections yet. `resolver` is shared by all cores.
    pub fn new(resolver: Arc<Resolver>) -> Self {
        Self { shared: Rc::new(Shared { resolver, pools: RefCell::default() }) }
    }

    /// Picks an endpoint for a request (L4: a connection). The guard counts it as in flight until dropped.
    ///
    /// # Errors
    /// No endpoint at all, or the backend's limit of requests is reached.
    pub fn pick(&self, backend: &Arc<BackendHandle>, hints: &PickHints<'_>) -> Result<Picked, UpstreamError> {
        pick::pick(backend, hints)
    }

    /// Opens a connection of its own to the picked endpoint, for bytes. Sends the PROXY header if asked.
    ///
    /// # Errors
    /// It could not be opened, or the backend's limit of connections is reached.
    pub async fn connect_raw(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &mut Picked,
    ) -> Result<RawStream, UpstreamError> {
        let Some(permit) = backend.live.circuit.connection(backend.spec.circuit.connections) else {
            backend.live.metrics.circuit_open.inc();
            let kind = UpstreamErrorKind::CircuitOpen(CircuitLimit::Connections);
            return Err(UpstreamError::unsent(kind));
        };
        let started = Moment::now();
        let (resolver, source) = (&self.shared.resolver, picked.source);
        let opened =
            connect::open(backend, picked.member(), resolver, source, Purpose::Bytes, Some(permit)).await;
        let now = Moment::now();
        picked.attempt.connect = Some(now.since(started));
        match &opened {
            Ok(stream) => {
                picked.attempt.remote = Some(stream.remote_address());
                picked.attempt.local = stream.local_address();
                picked.attempt.peer = stream.peer().cloned();
                picked.note_success(now);
            }
            Err(UpstreamError { kind: UpstreamErrorKind::TlsClosed(_), .. }) => {}
            Err(_) => picked.note_failure(),
        }
        opened
    }

    /// The picked endpoint's address, for datagrams.
    ///
    /// # Errors
    /// Its name does not resolve, or it is meshed: datagrams have no way there that is not in the clear.
    pub async fn address(&self, picked: &Picked) -> Result<SocketAddr, UpstreamError> {
        let closed = |reason| Err(UpstreamError::unsent(UpstreamErrorKind::TlsClosed(reason)));
        match &picked.member().way {
            Way::AsBackend => {}
            Way::Closed { reason } => return closed(Arc::clone(reason)),
            Way::Mesh(_) => return closed("mesh mTLS carries no datagrams".into()),
        }
        let addresses = connect::addresses(picked.endpoint(), &self.shared.resolver).await?;
        addresses.first().copied().ok_or_else(|| UpstreamError::unsent(UpstreamErrorKind::Resolve))
    }

    /// Closes what has been idle for too long. Call about once a second.
    pub fn sweep(&self) {
        let now = Moment::now();
        self.shared.pools.borrow_mut().retain(|_, pool| {
            let in_use = pool.sweep(now);
            // Requests hold their pool: what they give back should be found again.
            in_use || Rc::strong_count(pool) > 1
        });
    }

    fn resolver(&self) -> &Arc<Resolver> {
        &self.shared.resolver
    }

    /// The pool for requests to the picked endpoint.
    fn pool(&self, backend: &BackendHandle, picked: &Picked, purpose: Purpose) -> Rc<Pool<B>> {
        let mesh = picked.member().way.id();
        let key = PoolKey { endpoint: picked.id(), transport: backend.transport, mesh, purpose };
        if let Some(pool) = self.shared.pools.borrow().get(&key) {
            return Rc::clone(pool);
        }
        let http2 = backend.spec.protocol == BackendProtocol::Http2;
        let policy = Policy::new(&backend.spec);
        let pool = Rc::new(Pool::new(policy, http2, Arc::clone(&backend.live.circuit)));
        if policy.single_use {
            // Another client's request must not get a connection that names this one.
            return pool;
        }
        self.shared.pools.borrow_mut().insert(key, Rc::clone(&pool));
        pool
    }

    /// Closes one idle connection of the backend with these counters, if there is one on this core.
    fn evict(&self, circuit: &Arc<CircuitCounters>) {
        let pools = self.shared.pools.borrow();
        let of_backend = pools.values().filter(|pool| Arc::ptr_eq(&pool.circuit, circuit));
        let _ = of_backend.into_iter().any(|pool| pool.evict());
    }
}

#[cfg(test)]
mod tests;
