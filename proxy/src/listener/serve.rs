//! HTTP on a connection: the codec with our limits, and the clock that watches it.
//! Performance-critical path.
//!
//! A connection has one timer, which is moved only when it fires or a slow head begins: traffic costs it
//! nothing. What counts as slow: see [`Watch`].

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::ListenerLimits;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::debug;

use super::prefixed::Prefixed;
use super::registry::Registered;
use super::watched::Watched;
use crate::drain::DrainPhase;
use crate::http::connection::Connection;
use crate::http::request::{Outlet, handle};
use crate::mesh::Fate;
use crate::telemetry::flags::Flags;

/// Bytes that an HTTP/1 connection may hold of what it reads or writes (reliability-security.md §1.1).
const HTTP1_BUFFER: usize = 64 * 1024;
/// hyper's room for heads without an allocation; fewer are counted at the door.
const HTTP1_HEADERS: u32 = 100;
/// HTTP/2 flow control, and what may wait to be sent (reliability-security.md §1.1).
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
/// Streams reset before they were accepted (CVE-2023-44487), and by our own errors (CVE-2025-8671).
const HTTP2_PENDING_RESETS: usize = 20;
const HTTP2_LOCAL_RESETS: usize = 128;
/// Nothing moves on a connection with requests under way: they are cut.
const STALLED: Duration = Duration::from_secs(300);

/// Serves HTTP/1.1 until the connection ends; a tunnel after that, if a request has opened one.
pub(super) async fn http1<S>(stream: Prefixed<S>, connection: Rc<Connection>, registered: &Registered)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let live = connection.live();
    let limits = &live.listener.connection.limits;
    let outlet = Rc::new(Outlet::default());
    let service = {
        let (connection, outlet) = (connection.clone(), outlet.clone());
        service_fn(move |request: hyper::Request<Incoming>| {
            handle(connection.clone(), outlet.clone(), request)
        })
    };
    let builder = http1_builder(limits);
    let mut watch = Watch::new(&connection, registered, limits, true);
    drop(live);
    let mut stream = stream;
    let codec = loop {
        let io = TokioIo::new(Watched::new(stream, connection.clone(), true));
        let mut codec = builder.serve_connection(io, service.clone());
        match poll_fn(|cx| watch.poll(&mut codec, |codec| codec.graceful_shutdown(), cx)).await {
            Ended::Codec(Ok(())) => break codec,
            Ended::Codec(Err(error)) => return note_broken(&connection, &error),
            Ended::Cut => return,
            Ended::Quiet => {}
        }
        // An idle connection gives back the codec's buffers and waits for the next request without them
        // (performance.md §2: the codec is two thirds of what an idle connection costs).
        let parts = codec.into_parts();
        stream = unread(parts.io.into_inner().into_inner(), parts.read_buf);
        if !watch.parked(&mut stream).await {
            let _ = timeout(GOODBYE, stream.shutdown()).await;
            return;
        }
    };
    let Some(tunnel) = outlet.take() else { return };
    let parts = codec.into_parts();
    let stream = unread(parts.io.into_inner().into_inner(), parts.read_buf);
    let untied = async {
        match connection.tie() {
            // Bytes know no last request: what stands on a certificate ends with it.
            Some(tie) => tie.reached(Fate::Draining).await,
            None => std::future::pending().await,
        }
        connection.cut.set(Flags::LOCAL_RESET);
    };
    tokio::select! {
        () = tunnel.run(stream) => {}
        () = untied => {}
    }
}

/// Serves HTTP/2 until the connection ends.
pub(super) async fn http2<S>(stream: Prefixed<S>, connection: Rc<Connection>, registered: &Registered)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let live = connection.live();
    let limits = &live.listener.connection.limits;
    let outlet = Rc::new(Outlet::default());
    let service = {
        let connection = connection.clone();
        service_fn(move |request: hyper::Request<Incoming>| {
            handle(connection.clone(), outlet.clone(), request)
        })
    };
    let io = TokioIo::new(Watched::new(stream, connection.clone(), false));
    let mut codec = http2_builder(limits).serve_connection(io, service);
    let mut watch = Watch::new(&connection, registered, limits, false);
    drop(live);
    if let Ended::Codec(Err(error)) =
        poll_fn(|cx| watch.poll(&mut codec, |codec| codec.graceful_shutdown(), cx)).await
    {
        debug!(%error, client = %connection.remote, "HTTP/2 connection ended with an error");
    }
}

/// Puts back what the codec has read and not used.
fn unread<S>(stream: Prefixed<S>, bytes: Bytes) -> Prefixed<S> {
    if bytes.is_empty() {
        return stream;
    }
    let (kept, stream) = stream.into_parts();
    let mut all = BytesMut::from(bytes);
    all.extend_from_slice(&kept);
    Prefixed::with_kept(stream, all)
}

fn http1_builder(limits: &ListenerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let head = limits.header_bytes as usize;
    builder.header_read_timeout(None).max_header_size(head).max_buf_size(HTTP1_BUFFER.max(head));
    if limits.headers > HTTP1_HEADERS {
        builder.max_headers(limits.headers as usize);
    }
    builder
}

fn http2_builder(limits: &ListenerLimits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(limits.streams)
        // The library answers what is over its bound by itself, and nobody is told. So the door refuses first.
        .max_header_list_size(limits.header_bytes.saturating_mul(2))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS)
        .max_local_error_reset_streams(HTTP2_LOCAL_RESETS);
    builder
}

/// Runs a connection's streams on its own core.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// hyper has answered a head that it could not read; a request that began has told the log itself.
fn note_broken(connection: &Connection, error: &hyper::Error) {
    if error.is_parse() {
        crate::http::exchange::log_malformed(connection, error);
    } else {
        debug!(%error, client = %connection.remote, "HTTP/1 connection ended with an error");
    }
}

#[derive(Debug)]
enum Ended {
    Codec(hyper::Result<()>),
    Cut,
    /// Nothing is under way, nothing is buffered: the codec is not needed for now.
    Quiet,
}

/// The clock of a connection.
///
/// - A head that has begun, and the first one, end within the header time-out.
/// - Without a request under way the connection is closed after the idle time-out.
/// - With one it is cut when no byte has moved for [`STALLED`]: the client reads or the endpoint answers
///   nothing, and no route has said otherwise.
/// - It is asked to end when it is old, when it drains, or when its listener is gone.
struct Watch<'c> {
    connection: &'c Connection,
    registered: &'c Registered,
    header_timeout: Duration,
    idle_timeout: Duration,
    old_at: Option<Instant>,
    ending: bool,
    head_deadline: Option<Instant>,
    moved: u64,
    quiet_since: Instant,
    /// A quiet connection gives its codec back.
    parks: bool,
    timer: Pin<Box<Sleep>>,
}

impl<'c> Watch<'c> {
    fn new(
        connection: &'c Connection,
        registered: &'c Registered,
        limits: &ListenerLimits,
        parks: bool,
    ) -> Self {
        let now = Instant::now();
        let head_deadline = now + limits.header_timeout;
        let old_at = (!limits.max_age.is_zero()).then(|| now + limits.max_age);
        let look = now + look(limits.idle_timeout, STALLED).min(PARK_AFTER);
        let first = old_at.map_or(look, |at| at.min(look)).min(head_deadline);
        Self {
            connection,
            registered,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            old_at,
            ending: false,
            head_deadline: Some(head_deadline),
            moved: connection.moved.get(),
            quiet_since: now,
            parks,
            timer: Box::pin(sleep_until(first)),
        }
    }

    fn poll<C>(&mut self, codec: &mut C, end: impl Fn(Pin<&mut C>), cx: &mut Context<'_>) -> Poll<Ended>
    where
        C: Future<Output = hyper::Result<()>> + Unpin,
    {
        self.registered.wait(cx.waker());
        loop {
            if self.registered.phase() == DrainPhase::Forced {
                self.connection.cut.set(Flags::DRAINED);
                return Poll::Ready(Ended::Cut);
            }
            if self.untied(cx) {
                self.connection.cut.set(Flags::LOCAL_RESET);
                return Poll::Ready(Ended::Cut);
            }
            if !self.ending && self.should_end() {
                self.ending = true;
                self.connection.closing.set(true);
                end(Pin::new(&mut *codec));
            }
            if let Poll::Ready(result) = Pin::new(&mut *codec).poll(cx) {
                return Poll::Ready(Ended::Codec(result));
            }
            // The codec may have learnt that it is to end: the last request that the limit allows.
            if !self.ending && self.connection.closing.get() {
                continue;
            }
            self.note_head();
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match self.expired() {
                Expired::Nothing => {}
                Expired::Quiet => return Poll::Ready(Ended::Quiet),
                Expired::Idle if !self.ending => self.connection.closing.set(true),
                Expired::Idle | Expired::Slow => return Poll::Ready(Ended::Cut),
            }
        }
    }

    /// Whether a mesh peer is not believed any more. Leaves the waker, so that this task hears of whatever is next.
    fn untied(&self, cx: &Context<'_>) -> bool {
        self.connection.tie().is_some_and(|tie| tie.poll_reached(cx, Fate::Cut).is_ready())
    }

    fn should_end(&self) -> bool {
        let idle = self.connection.in_flight.get() == 0;
        self.connection.closing.get()
            || self.registered.phase() >= DrainPhase::Draining
            || self.connection.slot.gone()
            || self.expired_peer()
            || self.old_at.is_some_and(|at| at <= Instant::now())
            || (self.registered.purged() && idle)
    }

    /// Whether a mesh connection's certificate has ended. HTTP/2 says so a little before: a GOAWAY loses nothing, while
    /// an HTTP/1.1 connection that is closed may lose a request that is on its way.
    fn expired_peer(&self) -> bool {
        match self.connection.fate() {
            Fate::Live => false,
            Fate::Retiring => !self.parks,
            Fate::Draining | Fate::Cut => true,
        }
    }

    /// A head that has begun gets its time; one that has ended gives it back.
    fn note_head(&mut self) {
        // While the client takes no answer, the next head waits for us.
        let waiting = self.connection.in_flight.get() == 0 && !self.connection.blocked.get();
        let within = waiting && self.connection.scan.within_head();
        let first = self.connection.requests.get() == 0;
        if within && self.head_deadline.is_none() {
            let deadline = Instant::now() + self.header_timeout;
            self.head_deadline = Some(deadline);
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
        } else if !within && !first {
            self.head_deadline = None;
        }
    }

    /// The timer has fired: looks why, and sets it anew.
    fn expired(&mut self) -> Expired {
        let now = Instant::now();
        let moved = self.connection.moved.get();
        if moved != self.moved {
            self.moved = moved;
            self.quiet_since = now;
        }
        let busy = self.connection.in_flight.get() > 0;
        let busy_limit = self.connection.stalled.get().max(STALLED);
        let idle_limit = self.idle_timeout;
        let quiet = now - self.quiet_since;
        let look =
            now + look(idle_limit, busy_limit).min(if self.parks { PARK_AFTER } else { Duration::MAX });
        let next = [self.head_deadline, self.old_at].into_iter().flatten().filter(|at| *at > now).min();
        self.timer.as_mut().reset(next.map_or(look, |next| next.min(look)));
        if self.head_deadline.is_some_and(|deadline| deadline <= now) {
            debug!(client = %self.connection.remote, "Request head did not arrive in time");
            return Expired::Slow;
        }
        if busy && quiet >= busy_limit {
            self.connection.cut.set(Flags::IDLE_TIMEOUT);
            return Expired::Slow;
        }
        if !busy && !idle_limit.is_zero() && quiet >= idle_limit {
            return Expired::Idle;
        }
        let still = !busy && self.head_deadline.is_none() && !self.connection.blocked.get() && !self.ending;
        if self.parks && still && quiet >= PARK_AFTER { Expired::Quiet } else { Expired::Nothing }
    }

    /// Waits for the next request without a codec. False: the connection is to end.
    async fn parked<S: AsyncRead + Unpin>(&mut self, stream: &mut Prefixed<S>) -> bool {
        if !stream.kept().is_empty() {
            return true;
        }
        let idle_until = (!self.idle_timeout.is_zero()).then(|| self.quiet_since + self.idle_timeout);
        let until = [idle_until, self.old_at].into_iter().flatten().min();
        let mut bytes = pin!(stream.fill());
        let more = poll_fn(|cx| {
            if self.untied(cx) || self.should_end() {
                return Poll::Ready(false);
            }
            if let Poll::Ready(read) = bytes.as_mut().poll(cx) {
                return Poll::Ready(matches!(read, Ok(1..)));
            }
            if let Some(until) = until {
                self.timer.as_mut().reset(until);
                if self.timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
            }
            Poll::Pending
        })
        .await;
        self.quiet_since = Instant::now();
        self.timer.as_mut().reset(self.quiet_since + PARK_AFTER);
        more
    }
}

/// What the timer's firing means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expired {
    Nothing,
    /// Nothing under way, for long enough to do without the codec.
    Quiet,
    /// Nothing under way for too long: the connection is asked to end.
    Idle,
    /// A head or a request under way is too slow: the connection is cut.
    Slow,
}

/// Nothing under way for that long: the codec is given back.
const PARK_AFTER: Duration = Duration::from_secs(10);
/// How long a parked connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// When to look again: half of a limit, so that a connection is at most half of it late.
fn look(idle: Duration, busy: Duration) -> Duration {
    let shortest = if idle.is_zero() { busy } else { idle.min(busy) };
    (shortest / 2).max(MIN_LOOK)
}

/// The timer does not fire more often than this, whatever the limits.
const MIN_LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
