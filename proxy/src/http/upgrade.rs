//! Upgrades: after 101 the connection is a tunnel of bytes, and never HTTP again. RFC 9110 §7.8.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderValue;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::exchange::Exchange;
use crate::telemetry::flags::Flags;

/// The other half of an upgraded connection, left for whoever drives the client's.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upstream: OnUpgrade,
    exchange: Exchange,
    idle: Duration,
}

/// Tunnels without a time limit of their route are cut after this long without a byte: a WebSocket that lives
/// pings more often.
const TUNNEL_IDLE: Duration = Duration::from_secs(3600);
/// Bytes on the way in each direction.
const BUFFER: usize = 16 * 1024;

/// The protocol that both sides mean: what the endpoint grants must be among what the client asked for.
pub(crate) fn agreed(asked: Option<&HeaderValue>, granted: Option<HeaderValue>) -> Option<HeaderValue> {
    let (asked, granted) = (asked?, granted?);
    let mut protocols = asked.as_bytes().split(|byte| *byte == b',');
    let named =
        protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(granted.as_bytes().trim_ascii()));
    named.then_some(granted)
}

impl Tunnel {
    pub(crate) fn new(upstream: OnUpgrade, exchange: Exchange, idle: Option<Duration>) -> Self {
        Self { upstream, exchange, idle: idle.unwrap_or(TUNNEL_IDLE) }
    }

    /// Carries bytes both ways until both sides have ended, one breaks, or nothing moves for too long.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, downstream: S) {
        let Self { upstream, mut exchange, idle } = self;
        let Ok(upstream) = upstream.await else {
            exchange.flag(Flags::UPSTREAM_TERMINATED);
            return;
        };
        let mut relay =
            Relay { downstream, upstream: TokioIo::new(upstream), up: Way::new(), down: Way::new() };
        let result = relay.run(idle).await;
        exchange.note_tunnel(relay.up.moved, relay.down.moved);
        match result {
            Ok(()) => exchange.complete(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => exchange.flag(Flags::IDLE_TIMEOUT),
            Err(_) if relay.down.broken => exchange.flag(Flags::UPSTREAM_TERMINATED),
            Err(_) => exchange.flag(Flags::DOWNSTREAM_TERMINATED),
        }
    }
}

/// Two streams whose bytes go to each other.
#[derive(Debug)]
struct Relay<D, U> {
    downstream: D,
    upstream: U,
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Debug)]
struct Way {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
    shut: bool,
    /// The reading side failed.
    broken: bool,
    moved: u64,
}

impl<D, U> Relay<D, U>
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(&mut self, idle: Duration) -> io::Result<()> {
        let mut timer = std::pin::pin!(sleep_until(Instant::now() + idle));
        let mut seen = 0;
        poll_fn(|cx| {
            let up = self.up.poll(&mut self.downstream, &mut self.upstream, cx)?;
            let down = self.down.poll(&mut self.upstream, &mut self.downstream, cx)?;
            if up.is_ready() && down.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // The timer is looked at only when it fires: traffic costs it nothing.
            while timer.as_mut().poll(cx).is_ready() {
                let moved = self.up.moved + self.down.moved;
                if moved == seen {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                seen = moved;
                timer.as_mut().reset(Instant::now() + idle);
            }
            Poll::Pending
        })
        .await
    }
}

impl Way {
    fn new() -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, start: 0, end: 0, ended: false, shut: false, broken: false, moved: 0 }
    }

    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while let Some(rest) = self.buffer.get(self.start..self.end).filter(|rest| !rest.is_empty()) {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += written;
                self.moved += written as u64;
            }
            if self.ended {
                if !self.shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    (self.start, self.end) = (0, buffer.filled().len());
                    self.ended = self.end == 0;
                }
                Poll::Ready(Err(error)) => {
                    self.broken = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_agreed() {
        let value = |text| Some(HeaderValue::from_static(text));
        assert_eq!(agreed(value("websocket").as_ref(), value("WebSocket")), value("WebSocket"));
        assert_eq!(agreed(value("a, b").as_ref(), value("b")), value("b"));
        assert_eq!(agreed(value("websocket").as_ref(), value("h2c")), None);
        assert_eq!(agreed(value("websocket").as_ref(), None), None);
        assert_eq!(agreed(None, value("websocket")), None);
    }

    #[tokio::test]
    async fn a_half_closed_side_can_still_be_written_to() {
        let (mut client, downstream) = duplex(64);
        let (mut server, upstream) = duplex(64);
        let mut relay = Relay { downstream, upstream, up: Way::new(), down: Way::new() };
        let both = async {
            client.write_all(b"ask").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = String::new();
            server.read_to_string(&mut asked).await.unwrap();
            server.write_all(b"answer").await.unwrap();
            drop(server);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (asked, answer)
        };
        let (result, (asked, answer)) = tokio::join!(relay.run(Duration::from_secs(1)), both);
        result.unwrap();
        assert_eq!((asked.as_str(), answer.as_str()), ("ask", "answer"));
        assert_eq!((relay.up.moved, relay.down.moved), (3, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_is_cut() {
        let (mut client, downstream) = duplex(64);
        let (_server, upstream) = duplex(64);
        let begin = Instant::now();
        let mut relay = Relay { downstream, upstream, up: Way::new(), down: Way::new() };
        let talk = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            client.write_all(b"still here").await.unwrap();
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = relay.run(Duration::from_secs(10)) => result,
            () = talk => unreachable!("the client never ends"),
        };
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_secs(15) && begin.elapsed() <= Duration::from_secs(20));
    }
}
