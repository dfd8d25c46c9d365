//! A stream whose traffic is noticed: how much moved, and what HTTP/1 heads looked like.
//! Performance-critical path.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::connection::Connection;

/// Tells the connection what passes through.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Rc<Connection>,
    scan: bool,
}

impl<S> Watched<S> {
    /// With `scan` the bytes read are HTTP/1.
    pub(super) fn new(stream: S, connection: Rc<Connection>, scan: bool) -> Self {
        Self { stream, connection, scan }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Notes whether a write or flush has to wait.
    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.connection.blocked.set(polled.is_pending());
        polled
    }

    fn note(&self, bytes: usize) {
        self.connection.moved.set(self.connection.moved.get() + bytes as u64);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.note(read.len());
        if self.scan {
            if self.connection.in_flight.get() == 0 {
                self.connection.scan.quiet();
            }
            self.connection.scan.read(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        let written = ready!(self.noted(polled))?;
        self.note(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let written = ready!(self.noted(polled))?;
        self.note(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
