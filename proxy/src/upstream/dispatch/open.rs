//! Opens connections for requests that wait in a pool, each in a task of its own, and drives them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::HttpVersion;
use model::BackendProtocol;
use tokio::task::spawn_local;
use tracing::debug;

use crate::upstream::circuit::ConnectionPermit;
use crate::upstream::connect::{self, Purpose};
use crate::upstream::endpoint::Member;
use crate::upstream::error::{UpstreamError, UpstreamErrorKind};
use crate::upstream::handle::BackendHandle;
use crate::upstream::pick::{Picked, ProxySource};
use crate::upstream::pool::{Facts, Http1, Http2, Pool};
use crate::upstream::resolve::Resolver;
use crate::upstream::stream::RawStream;
use crate::upstream::{OutBody, Upstreams};

impl<B: OutBody> Upstreams<B> {
    /// Opens the connections that waiting requests need. False if the backend's limit leaves no place for them.
    pub(super) fn open_for_waiters(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &Picked,
        pool: &Rc<Pool<B>>,
        purpose: Purpose,
    ) -> bool {
        let limit = backend.spec.circuit.connections;
        while pool.wants_more() {
            let Some(permit) = pool.circuit.connection(limit) else {
                // The place of an idle connection to another endpoint of the backend comes free shortly.
                self.evict(&pool.circuit);
                return false;
            };
            pool.opening.set(pool.opening.get() + 1);
            let opening = Opening {
                backend: Arc::clone(backend),
                member: Arc::clone(picked.member()),
                resolver: Arc::clone(self.resolver()),
                source: picked.source,
                purpose,
                pool: Rc::clone(pool),
            };
            spawn_local(opening.run(permit));
        }
        true
    }
}

struct Opening<B> {
    backend: Arc<BackendHandle>,
    member: Arc<Member>,
    resolver: Arc<Resolver>,
    source: Option<ProxySource>,
    purpose: Purpose,
    pool: Rc<Pool<B>>,
}

impl<B: OutBody> Opening<B> {
    /// Opens a connection, and further ones while requests wait that nobody opens one for.
    async fn run(self, mut permit: ConnectionPermit) {
        let pool = &self.pool;
        loop {
            let opened = self.open(permit).await;
            pool.opening.set(pool.opening.get().saturating_sub(1));
            if let Err(error) = opened {
                let (backend, endpoint) = (&self.backend.name, &self.member.state);
                let detail = error.detail.as_deref();
                debug!(%error, detail, %backend, %endpoint, "Connection could not be opened");
                pool.fail(&error);
            }
            if !pool.wants_more() {
                return;
            }
            let Some(next) = pool.circuit.connection(self.backend.spec.circuit.connections) else { return };
            permit = next;
            pool.opening.set(pool.opening.get() + 1);
        }
    }

    async fn open(&self, permit: ConnectionPermit) -> Result<(), UpstreamError> {
        let Self { backend, member, resolver, source, purpose, .. } = self;
        let stream = connect::open(backend, member, resolver, *source, *purpose, Some(permit)).await?;
        self.start(stream).await
    }

    /// Begins HTTP on a stream and gives the connection to the pool.
    async fn start(&self, stream: RawStream) -> Result<(), UpstreamError> {
        let facts = Facts {
            local: stream.local_address(),
            remote: stream.remote_address(),
            peer: stream.peer().cloned(),
        };
        let http2 = match stream.http_version() {
            HttpVersion::Http2 => true,
            HttpVersion::Http1 => false,
            // Without ALPN's word the backend's protocol is prior knowledge.
            HttpVersion::Opaque | HttpVersion::Unknown => {
                self.backend.spec.protocol == BackendProtocol::Http2
            }
        };
        let unfit = |error: hyper::Error| UpstreamError::unsent(UpstreamErrorKind::Protocol).because(error);
        if http2 {
            let streams = Rc::clone(&self.pool.streams);
            self.pool.add_shared(start_http2(stream, facts, streams).await.map_err(unfit)?);
        } else {
            self.pool.add(start_http1(stream, facts).await.map_err(unfit)?);
        }
        Ok(())
    }
}

async fn start_http1<B: OutBody>(stream: RawStream, facts: Facts) -> Result<Http1<B>, hyper::Error> {
    let (sender, connection) =
        http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await?;
    let remote = facts.remote;
    spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, %remote, "Upstream connection ended");
        }
    });
    Ok(Http1::new(sender, facts))
}

/// `known` is what the endpoint's last connection allowed; this one's SETTINGS replace it.
async fn start_http2<B: OutBody>(
    stream: RawStream,
    facts: Facts,
    known: Rc<Cell<usize>>,
) -> Result<Http2<B>, hyper::Error> {
    let (sender, mut connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_max_send_streams(UNSAID_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await?;
    let limit = Rc::new(Cell::new(known.get()));
    let current = Rc::clone(&limit);
    let remote = facts.remote;
    spawn_local(async move {
        let ended = poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            let said = connection.current_max_send_streams();
            if said != UNSAID_STREAMS {
                current.set(said.min(MAX_STREAMS));
                known.set(said.min(MAX_STREAMS));
            }
            polled
        });
        if let Err(error) = ended.await {
            debug!(%error, %remote, "Upstream connection ended");
        }
    });
    Ok(Http2::new(sender, facts, limit))
}

/// Runs hyper's helper tasks on this core.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Per connection and direction: what a slow side may make us hold. Bounds a response's header section too.
const BUFFER: usize = 64 * 1024;
/// Enough for 2 Gbit/s per stream at a round trip of 1 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// All streams of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response's header list.
const HEADER_LIST: u32 = 64 * 1024;
/// Streams to count with before the endpoint's SETTINGS have come. An odd number, so that theirs can be told apart.
pub(crate) const UNSAID_STREAMS: usize = 101;
/// Streams on one connection, where the endpoint allows more: another connection spreads the load better.
const MAX_STREAMS: usize = 1024;
