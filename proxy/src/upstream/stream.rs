//! A connection to an endpoint as a byte stream, plain or TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use identity::{HttpVersion, http_version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::mesh::{Fate, Link, Tie};
use crate::upstream::circuit::ConnectionPermit;

/// A connection to an endpoint. Counts against the backend's connection limit until it is dropped.
#[derive(Debug)]
pub struct RawStream {
    pub(crate) io: Io,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
    /// Of a mesh connection: it ends when its peer is not believed any more.
    pub(crate) tie: Option<Tie>,
    /// Given back when the stream is dropped.
    pub(crate) _permit: Option<ConnectionPermit>,
}

/// The bytes' way.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl RawStream {
    /// Our end, if the system tells.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The endpoint's end.
    pub fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    /// The HTTP version that ALPN settled on; [`HttpVersion::Unknown`] without TLS.
    pub fn http_version(&self) -> HttpVersion {
        match &self.io {
            Io::Plain(_) => HttpVersion::Unknown,
            Io::Tls(stream) => http_version(stream.get_ref().1.alpn_protocol()),
        }
    }

    /// The verified peer of a mesh connection.
    pub fn peer(&self) -> Option<&Arc<Link>> {
        self.tie.as_ref().map(Tie::link)
    }

    /// An error once the peer is not believed any more; has the reader's task woken when that happens.
    fn check_tie(&self, cx: &Context<'_>) -> io::Result<()> {
        match &self.tie {
            Some(tie) if tie.poll_reached(cx, Fate::Cut).is_ready() => {
                let reason = tie.reason().map_or("mesh connection cut", |reason| reason);
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason))
            }
            _ => Ok(()),
        }
    }

    /// The TCP stream inside, if there is no TLS: its readiness can be used directly.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Plain(stream) => Some(stream),
            Io::Tls(_) => None,
        }
    }
}

impl RawStream {
    /// The socket.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for RawStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_tie(cx)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
