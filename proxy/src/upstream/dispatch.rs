//! Performance-critical path. A request on a connection: reuse or open, adapt to its HTTP version, send, judge
//! what went wrong.

mod adapt;
mod open;

use std::error::Error as _;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use model::BackendProtocol;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::sleep_until;

pub use open::LocalExecutor;
pub(crate) use open::UNSAID_STREAMS;

use crate::upstream::body::UpstreamBody;
use crate::upstream::clock::Moment;
use crate::upstream::connect::Purpose;
use crate::upstream::endpoint::Way;
use crate::upstream::error::{CircuitLimit, DispatchError, UpstreamError, UpstreamErrorKind};
use crate::upstream::handle::{BackendHandle, BackendTls};
use crate::upstream::pick::Picked;
use crate::upstream::pool::{Lease, Pool};
use crate::upstream::{OutBody, Upstreams};

impl<B: OutBody> Upstreams<B> {
    /// Sends a request to the picked endpoint, on a pooled connection or a new one, as HTTP/1.1 or HTTP/2.
    ///
    /// The request is in origin form with `Host`, or in absolute form; hop-by-hop fields are gone, save
    /// `Connection: upgrade` and `Upgrade` where an upgrade is wanted. Resolves at the response head; drop the
    /// future to cancel. A 101 answer yields its bytes through `hyper::upgrade::on`. The outcome (status,
    /// latency, failure) is noted at the endpoint; [`Picked::attempt`] tells addresses and times.
    ///
    /// A connection that turns out dead before the request was begun is replaced by a new one, once.
    ///
    /// # Errors
    /// As [`UpstreamErrorKind`] says; the request comes back if no byte of it was sent.
    pub async fn dispatch(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &mut Picked,
        request: Request<B>,
    ) -> Result<Response<UpstreamBody<B>>, DispatchError<B>> {
        let sent = self.try_dispatch(backend, picked, request).await;
        match &sent {
            Ok(response) => picked.note_answer(response.status(), Moment::now()),
            Err(failed) if failed.error.kind.is_endpoints_fault() => picked.note_failure(),
            Err(_) => {}
        }
        sent
    }

    async fn try_dispatch(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &mut Picked,
        mut request: Request<B>,
    ) -> Result<Response<UpstreamBody<B>>, DispatchError<B>> {
        let purpose = match purpose(backend, &picked.member().way, &request) {
            Ok(purpose) => purpose,
            Err(kind) => return Err(DispatchError::unsent(kind, request)),
        };
        let pool = self.pool(backend, picked, purpose);
        let mut pooled = pool.take(Moment::now());
        loop {
            // A connection straight from the pool may have died there; the next one is new, or just used.
            let from_pool = pooled.is_some();
            let lease = match pooled.take() {
                Some(lease) => lease,
                // Rare and large: boxed, so that requests on pooled connections do not carry its room.
                None => match Box::pin(self.acquire(backend, picked, &pool, purpose)).await {
                    Ok(lease) => lease,
                    Err(error) => return Err(DispatchError { error, request: Some(Box::new(request)) }),
                },
            };
            match send(backend, picked, lease, request).await {
                Err(DispatchError { error, request: Some(back) }) if from_pool && !error.sent => {
                    request = *back
                }
                ended => return ended,
            }
        }
    }

    /// Waits for a connection: a new one, or one that is given back meanwhile.
    async fn acquire(
        &self,
        backend: &Arc<BackendHandle>,
        picked: &mut Picked,
        pool: &Rc<Pool<B>>,
        purpose: Purpose,
    ) -> Result<Lease<B>, UpstreamError> {
        let started = Moment::now();
        let circuit = &backend.live.circuit;
        let Some(_pending) = circuit.waiting(backend.spec.circuit.pending) else {
            backend.live.metrics.circuit_open.inc();
            return Err(UpstreamError::unsent(UpstreamErrorKind::CircuitOpen(CircuitLimit::Pending)));
        };
        let mut ready = pool.wait();
        let patience = backend.spec.connection.connect_timeout;
        let begun = tokio::time::Instant::now();
        let received: Result<_, RecvError> = loop {
            // Made before the look for a place: one that comes free in between is not missed.
            let freed = circuit.freed();
            let placed = self.open_for_waiters(backend, picked, pool, purpose);
            // Whoever opens a connection keeps to the connect timeout; another request may get that connection.
            let (deadline, late) = match placed {
                true => (begun + patience * 2, UpstreamErrorKind::ConnectTimeout),
                false => (begun + patience, UpstreamErrorKind::CircuitOpen(CircuitLimit::Connections)),
            };
            tokio::select! {
                biased;
                received = &mut ready => break received,
                () = freed => {}
                () = sleep_until(deadline) => {
                    if !placed {
                        backend.live.metrics.circuit_open.inc();
                    }
                    return Err(UpstreamError::unsent(late));
                }
            }
        };
        picked.attempt.connect = Some(Moment::now().since(started));
        // The pool outlives its waiters, so a closed channel can only be a pool that was torn down.
        received.unwrap_or_else(|_| Err(UpstreamError::unsent(UpstreamErrorKind::ConnectOther)))
    }
}

impl UpstreamErrorKind {
    /// Whether it counts against the endpoint.
    fn is_endpoints_fault(&self) -> bool {
        match self {
            Self::Resolve
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectOther
            | Self::TlsFailed
            | Self::Refused
            | Self::ResetBeforeResponse
            | Self::ResetMidResponse
            | Self::Protocol => true,
            Self::NoHealthyEndpoint | Self::CircuitOpen(_) | Self::TlsClosed(_) | Self::RequestBody => false,
        }
    }
}

/// What kind of connection a request needs.
fn purpose<B>(
    backend: &BackendHandle,
    way: &Way,
    request: &Request<B>,
) -> Result<Purpose, UpstreamErrorKind> {
    let encrypted = match (way, &backend.tls) {
        (Way::Closed { reason }, _) | (Way::AsBackend, BackendTls::Closed { reason }) => {
            return Err(UpstreamErrorKind::TlsClosed(Arc::clone(reason)));
        }
        (Way::AsBackend, BackendTls::Plain) => false,
        (Way::Mesh(_), _) | (Way::AsBackend, BackendTls::Tls { .. }) => true,
    };
    let upgrade = request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT;
    match (backend.spec.protocol, encrypted) {
        (BackendProtocol::Tcp | BackendProtocol::Udp, _) => Err(UpstreamErrorKind::Protocol),
        // HTTP/2 has no upgrade (RFC 9113 §8.6), and extended CONNECT is not spoken to endpoints.
        (BackendProtocol::Http2, _) if upgrade => Err(UpstreamErrorKind::Protocol),
        (BackendProtocol::Auto, true) if upgrade => Ok(Purpose::Upgrade),
        (BackendProtocol::Auto | BackendProtocol::Http1 | BackendProtocol::Http2, _) => Ok(Purpose::Requests),
    }
}

/// Sends a request on a connection and waits for the response's head.
async fn send<B: OutBody>(
    backend: &BackendHandle,
    picked: &mut Picked,
    mut lease: Lease<B>,
    mut request: Request<B>,
) -> Result<Response<UpstreamBody<B>>, DispatchError<B>> {
    let (facts, reused) = (lease.facts(), lease.reused());
    picked.attempt.remote = Some(facts.remote);
    picked.attempt.local = facts.local;
    picked.attempt.peer.clone_from(&facts.peer);
    picked.attempt.reused = reused;
    picked.attempt.http2 = matches!(lease, Lease::Http2(_));
    let adapted = match &lease {
        Lease::Http1(_) => adapt::to_http1(&mut request),
        Lease::Http2(_) => adapt::to_http2(&mut request, encrypted(backend, picked)),
    };
    if adapted.is_err() {
        return Err(DispatchError::unsent(UpstreamErrorKind::Protocol, request));
    }
    let connect = request.method() == Method::CONNECT;
    picked.attempt.sent = Some(Moment::now());
    let answer = match &mut lease {
        Lease::Http1(lease) => lease.connection.sender.try_send_request(request).await,
        Lease::Http2(lease) => {
            let answer = lease.connection.sender.borrow_mut().try_send_request(request);
            answer.await
        }
    };
    match answer {
        Ok(response) => Ok(received(response, lease, connect)),
        Err(mut failed) => {
            let request = failed.take_message().map(Box::new);
            let mut error = judge(failed.error(), request.is_some());
            error.reused = reused;
            Err(DispatchError { error, request })
        }
    }
}

/// Whether the connection is TLS, of whichever kind.
fn encrypted(backend: &BackendHandle, picked: &Picked) -> bool {
    match &picked.member().way {
        Way::AsBackend => matches!(backend.tls, BackendTls::Tls { .. }),
        Way::Mesh(_) | Way::Closed { .. } => true,
    }
}

fn received<B>(response: Response<Incoming>, lease: Lease<B>, connect: bool) -> Response<UpstreamBody<B>> {
    let tunnel =
        response.status() == StatusCode::SWITCHING_PROTOCOLS || connect && response.status().is_success();
    // A connection that changed its meaning never returns to a pool.
    response.map(|incoming| match tunnel {
        true => UpstreamBody::detached(incoming),
        false => UpstreamBody::new(incoming, lease),
    })
}

/// What a failed exchange means.
fn judge(error: &hyper::Error, returned: bool) -> UpstreamError {
    let failed = if returned { UpstreamError::unsent } else { UpstreamError::sent };
    if let Some(refused) =
        error.source().and_then(|source| source.downcast_ref::<h2::Error>()).filter(refused)
    {
        return UpstreamError::unsent(UpstreamErrorKind::Refused).because(refused);
    }
    let kind = if error.is_user() {
        UpstreamErrorKind::RequestBody
    } else if error.is_parse() {
        UpstreamErrorKind::Protocol
    } else {
        UpstreamErrorKind::ResetBeforeResponse
    };
    failed(kind).because(Chain(error))
}

/// Whether the endpoint says that it did not process the stream (RFC 9113 §8.7).
fn refused(error: &&h2::Error) -> bool {
    let reason = error.reason();
    let reset = error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM);
    // Streams above a graceful GOAWAY's last one; those below end with an I/O error if they end badly.
    let goaway = error.is_go_away() && reason == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (reset || goaway)
}

/// An error with its causes on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
