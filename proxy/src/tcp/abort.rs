//! Ending a connection so that the peer sees a reset, not an ordinary end.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::upstream::RawStream;

/// A stream whose end can be made a reset. A truncated answer must not look like a whole one to a protocol
/// whose end is the end of the connection.
pub trait Abort {
    /// When the stream is dropped, the peer sees a reset.
    fn abort(&self);
}

impl Abort for TcpStream {
    fn abort(&self) {
        // Linger of zero makes close() send RST (tcp(7), SO_LINGER). If it cannot be set, FIN is all we have.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl<S: Abort> Abort for TlsStream<S> {
    fn abort(&self) {
        self.get_ref().0.abort();
    }
}

impl<S: Abort + ?Sized> Abort for Box<S> {
    fn abort(&self) {
        (**self).abort();
    }
}

impl Abort for RawStream {
    fn abort(&self) {
        self.tcp().abort();
    }
}

#[cfg(test)]
impl Abort for tokio::io::DuplexStream {
    fn abort(&self) {}
}
