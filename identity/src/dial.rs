//! Connections to certificate authorities and bundle endpoints: TCP or a Unix socket, then maybe TLS, all in time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::handshake::HandshakeError;
use crate::tls::client::ClientTlsConfig;

/// A byte stream to somebody.
pub(crate) type BoxedIo = Box<dyn Io>;

/// What a connection is.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Whom to connect to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// Host and port; the host may be an address.
    Tcp(Arc<str>, u16),
    /// An absolute path.
    Unix(Arc<str>),
}

impl Target {
    /// Reads `HOST:PORT`; IPv6 addresses stand in brackets.
    pub(crate) fn host_port(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self::Tcp(host.into(), port))
    }

    /// The host to verify; none for a path.
    pub(crate) fn host(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tcp(host, _) => Some(host),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The network's word.
    #[error("no connection to {target}")]
    Connect {
        target: Target,
        #[source]
        source: io::Error,
    },
    /// The other side is not who it should be, or does not speak TLS.
    #[error("TLS with {target} failed")]
    Tls {
        target: Target,
        #[source]
        source: HandshakeError,
    },
    /// Nothing came of it in time.
    #[error("no connection to {target} within {}", Seconds(*limit))]
    Timeout { target: Target, limit: Duration },
}

/// Opens connections; tests put streams in memory in its place.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<dyn Fn(Target) -> BoxFuture<'static, io::Result<BoxedIo>> + Send + Sync>);

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new(|target| Box::pin(connect(target)))
    }
}

impl Dialer {
    /// A dialer that opens connections in this way.
    pub(crate) fn new(
        open: impl Fn(Target) -> BoxFuture<'static, io::Result<BoxedIo>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    /// A connection, within [`CONNECT`], TLS included.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        tls: Option<&ClientTlsConfig>,
    ) -> Result<BoxedIo, DialError> {
        match tokio::time::timeout(CONNECT, self.dial_without_limit(target, tls)).await {
            Ok(result) => result,
            Err(_) => Err(DialError::Timeout { target: target.clone(), limit: CONNECT }),
        }
    }

    async fn dial_without_limit(
        &self,
        target: &Target,
        tls: Option<&ClientTlsConfig>,
    ) -> Result<BoxedIo, DialError> {
        let io = (self.0)(target.clone())
            .await
            .map_err(|source| DialError::Connect { target: target.clone(), source })?;
        let Some(tls) = tls else {
            return Ok(io);
        };
        let name: ServerName<'static> = tls.server_name.clone();
        let stream = TlsConnector::from(Arc::clone(&tls.config))
            .connect(name, io)
            .await
            .map_err(|error| DialError::Tls { target: target.clone(), source: (&error).into() })?;
        Ok(Box::new(stream))
    }
}

async fn connect(target: Target) -> io::Result<BoxedIo> {
    match target {
        Target::Tcp(host, port) => {
            let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((&*host, port)).await?.collect();
            fastrand::shuffle(&mut addresses);
            let stream = connect_to_any(&addresses).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Target::Unix(path) => Ok(Box::new(UnixStream::connect(&*path).await?)),
    }
}

/// The first address that answers. A headless service has many, and one that is dead must not take the time of all.
async fn connect_to_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(EACH, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// A duration in words, for messages.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f32())
    }
}

/// An error with its causes, as one line.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// ztunnel's limit for a connection to the CA.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// Time for one of several addresses.
const EACH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read() {
        assert_eq!(Target::host_port("a.b:1"), Some(Target::Tcp("a.b".into(), 1)));
        assert_eq!(Target::host_port("[::1]:2").unwrap().to_string(), "[::1]:2");
        for bad in ["", "a", ":1", "a:", "a:x", "a:70000"] {
            assert_eq!(Target::host_port(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_is_given_up() {
        let dialer = Dialer::new(|_| Box::pin(std::future::pending()));
        let error = dialer.dial(&Target::Tcp("ca".into(), 1), None).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no connection to ca:1 within 5 s");
    }

    #[tokio::test]
    async fn an_address_that_refuses_leaves_it_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let addresses = [refusing, listener.local_addr().unwrap()];
        assert!(connect_to_any(&addresses).await.is_ok());
        let error = connect_to_any(&addresses[..1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect_to_any(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn real_sockets_are_reached() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        let targets = [
            Target::host_port(&tcp.local_addr().unwrap().to_string()).unwrap(),
            Target::Unix(path.to_str().unwrap().into()),
        ];
        let server = tokio::spawn(async move {
            tcp.accept().await.unwrap().0.write_all(b"tcp").await.unwrap();
            unix.accept().await.unwrap().0.write_all(b"unix").await.unwrap();
        });
        let mut heard = String::new();
        for target in &targets {
            let mut io = Dialer::default().dial(target, None).await.unwrap();
            io.read_to_string(&mut heard).await.unwrap();
        }
        assert_eq!(heard, "tcpunix");
        server.await.unwrap();
        drop(folder);
        let error = Dialer::default().dial(&targets[1], None).await.map(|_| ()).unwrap_err();
        assert!(chain_of(&error).contains("No such file"), "{}", chain_of(&error));
    }
}
