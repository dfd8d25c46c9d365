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
pub mod endpoint;
pub mod error;
pub mod ewma;
pub mod handle;
pub mod hash;
pub mod members;
mod outlier;
pub mod pick;
pub mod resolve;
pub mod stream;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

pub use body::UpstreamBody;
pub use circuit::CircuitCounters;
pub use endpoint::{EndpointId, EndpointState, EndpointToken, Member};
pub use error::{CircuitLimit, DispatchError, UpstreamError, UpstreamErrorKind};
pub use handle::{BackendError, BackendHandle, BackendLive, BackendTls};
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
    marker: std::marker::PhantomData<B>,
}

impl<B> Clone for Upstreams<B> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<B: OutBody> Upstreams<B> {
    /// No connections yet. `resolver` is shared by all cores.
    pub fn new(resolver: Arc<Resolver>) -> Self {
        Self { shared: Rc::new(Shared { resolver, marker: std::marker::PhantomData }) }
    }

    /// Picks an endpoint for a request (L4: a connection). The guard counts it as in flight until dropped.
    ///
    /// # Errors
    /// No endpoint at all, or the backend's limit of requests is reached.
    pub fn pick(&self, backend: &Arc<BackendHandle>, hints: &PickHints<'_>) -> Result<Picked, UpstreamError> {
        pick::pick(backend, hints)
    }

    /// Sends a request to the picked endpoint, on a pooled connection or a new one, as HTTP/1.1 or HTTP/2.
    ///
    /// The request is in origin form with `Host`, or in absolute form; hop-by-hop fields are gone, save
    /// `Connection: upgrade` and `Upgrade` where an upgrade is wanted. Resolves at the response head; drop the
    /// future to cancel. A 101 answer yields its bytes through `hyper::upgrade::on`. The outcome (status,
    /// latency, failure) is noted at the endpoint; [`Picked::attempt`] tells addresses and times.
    ///
    /// # Errors
    /// As [`UpstreamErrorKind`] says; the request comes back if no byte of it was sent.
    pub async fn dispatch(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &mut Picked,
        request: Request<B>,
    ) -> Result<Response<UpstreamBody<B>>, DispatchError<B>> {
        unreachable!("lands next: {} {picked:?} {:?}", backend.name, request.version())
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
        unreachable!("lands next: {} {picked:?}", backend.name)
    }

    /// The picked endpoint's address, for datagrams.
    ///
    /// # Errors
    /// Its name does not resolve.
    pub async fn address(&self, picked: &Picked) -> Result<SocketAddr, UpstreamError> {
        unreachable!("lands next: {picked:?} {:?}", self.shared.resolver)
    }

    /// Closes what has been idle for too long. Call about once a second.
    pub fn sweep(&self) {}
}
