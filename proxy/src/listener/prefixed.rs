//! A stream whose first bytes have been looked at already: they are kept and read again.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tcp::Abort;

/// Reads kept bytes first, then the stream. Writes go straight through.
#[derive(Debug)]
pub struct Prefixed<S> {
    kept: BytesMut,
    stream: S,
}

impl<S> Prefixed<S> {
    /// A stream of which nothing has been read. Does not allocate.
    pub fn new(stream: S) -> Self {
        Self { kept: BytesMut::new(), stream }
    }

    /// A stream from which `kept` has been read.
    pub fn with_kept(stream: S, kept: BytesMut) -> Self {
        Self { kept, stream }
    }

    /// Bytes that will be read again.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Drops the first `count` kept bytes, all if there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.kept.advance(count.min(self.kept.len()));
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The kept bytes and the stream.
    pub fn into_parts(self) -> (BytesMut, S) {
        (self.kept, self.stream)
    }
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Waits for more bytes and keeps them: as many as one read gives, at most 4 KiB. 0 is the end of the
    /// stream. Holds no buffer while it waits. Cancel safe.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; FILL];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.kept.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.kept.len().min(buffer.remaining());
        buffer.put_slice(&self.kept.split_to(count));
        self.consume(0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Abort> Abort for Prefixed<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

/// An ordinary ClientHello or request head fits.
const FILL: usize = 4096;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn kept_bytes_come_first_and_nothing_is_lost() {
        let (mut peer, stream) = tokio::io::duplex(64);
        peer.write_all(b"hello world").await.unwrap();
        let mut stream = Prefixed::new(stream);
        assert_eq!(stream.fill().await.unwrap(), 11);
        stream.consume(6);
        peer.write_all(b", again").await.unwrap();
        drop(peer);
        let mut small = [0; 2];
        stream.read_exact(&mut small).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&small[..], rest.as_str()), (&b"wo"[..], "rld, again"));
        assert_eq!(stream.fill().await.unwrap(), 0);
    }
}
