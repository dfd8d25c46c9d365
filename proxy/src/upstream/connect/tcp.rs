//! A TCP connection to one of several addresses: the next is tried when one fails or is slow (after RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Connects to the first address that answers, in order, with a head start for the earlier ones.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = match addresses {
        [only] => TcpStream::connect(*only).await?,
        several => race(several).await?,
    };
    stream.set_nodelay(true)?;
    // A peer that vanished without a word is found out on an idle connection within 14 seconds. There is no
    // TCP_USER_TIMEOUT: it would also cut a peer that is alive and merely slow to read (RFC 1122 §4.2.2.17).
    // There are no HTTP/2 pings either: gRPC servers close connections that ping more than every five minutes.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(3))
        .with_retries(3);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = addresses.iter().take(MAX_ADDRESSES);
    let mut running = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "no address");
    loop {
        let more = left.next();
        if let Some(address) = more {
            running.push(TcpStream::connect(*address));
        } else if running.is_empty() {
            return Err(failure);
        }
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::select! {
            Some(ended) = running.next() => match ended {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            () = head_start, if more.is_some() => {}
        }
    }
}

/// Connection attempt delay, RFC 8305 §5.
const HEAD_START: Duration = Duration::from_millis(250);
/// A name with a hundred addresses is not tried a hundred times within one connect timeout.
const MAX_ADDRESSES: usize = 6;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn refusing() -> SocketAddr {
        listening().await.1
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let (_listener, good) = listening().await;
        let stream = connect(&[refusing().await, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn all_refusing_is_refused() {
        let error = connect(&[refusing().await, refusing().await]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
