//! Performance-critical path. Copies bytes both ways between two streams.
//!
//! Each direction ends on its own (half-close is kept); a failure of one side resets the other. A read goes
//! through the core's one buffer; memory is held only for bytes that the other side does not take at once.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::abort::Abort;
use super::buffers::{Held, with_scratch};
use crate::telemetry::metrics::{Counter, TcpMetrics};

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both directions came to their end.
    Clean,
    /// No byte for the idle timeout.
    Idle,
    /// No byte for a while, and memory is short.
    Purged,
    /// Cut from outside.
    Forced,
    /// A mesh peer is not believed any more: why.
    Untied(Arc<str>),
    /// The client's side broke.
    ClientFailed(io::Error),
    /// The endpoint's side broke.
    UpstreamFailed(io::Error),
}

/// Two streams and what is under way between them.
#[derive(Debug)]
pub(super) struct Pump<'m, C, U> {
    client: C,
    upstream: U,
    up: Half<'m>,
    down: Half<'m>,
    idle: Duration,
    last: Instant,
}

impl<'m, C, U> Pump<'m, C, U>
where
    C: AsyncRead + AsyncWrite + Abort + Unpin,
    U: AsyncRead + AsyncWrite + Abort + Unpin,
{
    /// `idle` of zero never times out.
    pub(super) fn new(client: C, upstream: U, idle: Duration, metrics: &'m TcpMetrics) -> Self {
        Self {
            client,
            upstream,
            up: Half::new(&metrics.received),
            down: Half::new(&metrics.sent),
            idle,
            last: Instant::now(),
        }
    }

    /// Copies until both directions have ended, one side breaks, or nothing moves. `purged` says whether quiet
    /// connections have been told to end since it was last asked, and has the waker woken when they are.
    pub(super) async fn run(&mut self, purged: impl Fn(&Waker) -> bool) -> End {
        let mut timer = std::pin::pin!(sleep_until(self.last + self.idle));
        poll_fn(|cx| self.poll(cx, timer.as_mut(), &purged)).await
    }

    /// Closes both sides as the end asks for. Bytes from the client and to the client.
    pub(super) fn finish(self, end: &End) -> (u64, u64) {
        match end {
            End::Clean | End::Idle => {}
            End::Forced | End::Purged | End::Untied(_) => {
                self.client.abort();
                self.upstream.abort();
            }
            End::ClientFailed(_) => self.upstream.abort(),
            End::UpstreamFailed(_) => self.client.abort(),
        }
        (self.up.total(), self.down.total())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        purged: &impl Fn(&Waker) -> bool,
    ) -> Poll<End> {
        let before = (self.up.moved, self.down.moved);
        let up = self.up.poll(cx, &mut self.client, &mut self.upstream);
        let down = self.down.poll(cx, &mut self.upstream, &mut self.client);
        match (up, down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Clean),
            (Poll::Ready(Err(Failure::Reading(error))), _)
            | (_, Poll::Ready(Err(Failure::Writing(error)))) => {
                return Poll::Ready(End::ClientFailed(error));
            }
            (Poll::Ready(Err(Failure::Writing(error))), _)
            | (_, Poll::Ready(Err(Failure::Reading(error)))) => {
                return Poll::Ready(End::UpstreamFailed(error));
            }
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        if before != (self.up.moved, self.down.moved) {
            self.last = Instant::now();
        }
        if purged(cx.waker()) && self.last.elapsed() >= QUIET {
            return Poll::Ready(End::Purged);
        }
        if self.idle.is_zero() {
            return Poll::Pending;
        }
        // The timer is moved only when it fires, not with each byte.
        while timer.as_mut().poll(cx).is_ready() {
            let due = self.last + self.idle;
            if due <= Instant::now() {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// Which side of a direction broke.
enum Failure {
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction.
#[derive(Debug)]
struct Half<'m> {
    state: State,
    /// Bytes written.
    moved: u64,
    /// Of these, counted already.
    counted: u64,
    counter: &'m Counter,
}

#[derive(Debug)]
enum State {
    /// Everything read is written and flushed.
    Idle,
    /// Everything read is written, not all of it flushed.
    Unflushed,
    /// Some of what was read waits.
    Holding(Held),
    /// The reading side has ended; the writing side is being told.
    Closing,
    /// It has been told.
    Closed,
}

impl<'m> Half<'m> {
    fn new(counter: &'m Counter) -> Self {
        Self { state: State::Idle, moved: 0, counted: 0, counter }
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Failure>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match &mut self.state {
                State::Idle | State::Unflushed => {
                    if self.poll_read(cx, reader, writer)?.is_pending() {
                        // Nothing more to add for now: what TLS has gathered must go out.
                        if matches!(self.state, State::Unflushed) {
                            ready!(Pin::new(writer).poll_flush(cx)).map_err(Failure::Writing)?;
                            self.state = State::Idle;
                        }
                        return Poll::Pending;
                    }
                }
                State::Holding(held) => {
                    let count = ready!(Pin::new(&mut *writer).poll_write(cx, held.rest()));
                    let count = count.map_err(Failure::Writing)?;
                    if count == 0 {
                        return Poll::Ready(Err(Failure::Writing(io::ErrorKind::WriteZero.into())));
                    }
                    held.advance(count);
                    if held.rest().is_empty() {
                        self.state = State::Unflushed;
                    }
                    self.count(count);
                }
                State::Closing => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Failure::Writing)?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads once, and writes as much of it as is taken at once.
    fn poll_read<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<Poll<()>, Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(())) => {}
                // A TLS peer that closes without close_notify: for bytes of unknown meaning it is an end.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(error)) => return Err(Failure::Reading(error)),
            }
            let mut rest = buffer.filled();
            if rest.is_empty() {
                self.state = State::Closing;
                return Ok(Poll::Ready(()));
            }
            self.state = State::Unflushed;
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(Failure::Writing(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => {
                        rest = rest.get(count..).unwrap_or_default();
                        self.count(count);
                    }
                    Poll::Ready(Err(error)) => return Err(Failure::Writing(error)),
                    Poll::Pending => {
                        self.state = State::Holding(Held::new(rest));
                        break;
                    }
                }
            }
            Ok(Poll::Ready(()))
        })
    }

    fn count(&mut self, count: usize) {
        self.moved += u64::try_from(count).unwrap_or(0);
        if self.moved - self.counted >= COUNT_EVERY {
            self.counter.add(self.moved - self.counted);
            self.counted = self.moved;
        }
    }

    fn total(&self) -> u64 {
        self.moved
    }
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        self.counter.add(self.moved - self.counted);
    }
}

/// Without a byte for that long a connection is idle, as far as a shortage of memory is concerned.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// Bytes between two additions to the counter that all cores share.
const COUNT_EVERY: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
