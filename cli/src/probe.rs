//! A client that needs nothing installed: one request of any protocol that the gateway carries.

mod http;
mod stream;
mod tls;
mod websocket;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    /// SCHEME://HOST[:PORT][/PATH]; schemes: http, https, h2c, h2, grpc, grpcs, ws, wss, tcp, tls, udp.
    pub(crate) url: String,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) data: Option<String>,
    /// Where to connect, whatever the URL says.
    pub(crate) connect: Option<SocketAddr>,
    /// CA certificates to verify the server by.
    pub(crate) ca: Option<PathBuf>,
    /// Verify nothing.
    pub(crate) insecure: bool,
    /// A Workload API that gives us an SVID to show, and the SPIFFE ID that the server must have.
    pub(crate) mesh: Option<(String, String)>,
    pub(crate) timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Protocol and status, for people: `HTTP/2.0 200 OK`.
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Whether the protocol calls it a success.
    pub(crate) success: bool,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

/// A URL in its parts.
#[derive(Debug)]
struct Target {
    scheme: String,
    host: String,
    port: u16,
    path: String,
}

impl Probe {
    /// Sends it and waits for the answer.
    pub(crate) async fn send(&self) -> Result<Answer, ProbeError> {
        let target = Target::parse(&self.url)?;
        match tokio::time::timeout(self.timeout, self.exchange(&target)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProbeError::Failed(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn exchange(&self, target: &Target) -> Result<Answer, ProbeError> {
        let address = self.address(target)?;
        if target.scheme == "udp" {
            return stream::datagram(self, address).await;
        }
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|error| ProbeError::Failed(format!("connect to {address}: {error}")))?;
        match target.scheme.as_str() {
            "http" => http::http1(self, target, tcp).await,
            "h2c" | "grpc" => http::http2(self, target, tcp).await,
            "ws" => websocket::exchange(self, target, tcp).await,
            "tcp" => stream::bytes(self, tcp).await,
            "https" => http::http1(self, target, self.tls(target, tcp, &[b"http/1.1"]).await?).await,
            "h2" | "grpcs" => http::http2(self, target, self.tls(target, tcp, &[b"h2"]).await?).await,
            "wss" => websocket::exchange(self, target, self.tls(target, tcp, &[b"http/1.1"]).await?).await,
            "tls" => stream::bytes(self, self.tls(target, tcp, &[]).await?).await,
            other => Err(ProbeError::Usage(format!(
                "{other}:// is not known; use http, https, h2c, h2, grpc, grpcs, ws, wss, tcp, tls or udp"
            ))),
        }
    }

    async fn tls(
        &self,
        target: &Target,
        tcp: TcpStream,
        alpn: &[&[u8]],
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static + use<>, ProbeError> {
        if let Some((socket, server)) = &self.mesh {
            return tls::connect_in_mesh(tcp, alpn, socket, server).await;
        }
        tls::connect(tcp, &target.host, alpn, self.ca.as_deref(), self.insecure).await
    }

    fn address(&self, target: &Target) -> Result<SocketAddr, ProbeError> {
        if let Some(address) = self.connect {
            return Ok(address);
        }
        let host = target.host.trim_start_matches('[').trim_end_matches(']');
        (host, target.port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(
            || ProbeError::Failed(format!("{host} has no address; --connect ADDR says where it is")),
        )
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, ProbeError> {
        let usage = |text: &str| ProbeError::Usage(format!("{url}: {text}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| usage("a URL starts with SCHEME://"))?;
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(cut);
        let default = match scheme {
            "https" | "h2" | "grpcs" | "wss" | "tls" => Some(443),
            "http" | "h2c" | "grpc" | "ws" => Some(80),
            _ => None,
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| usage("the port is not a number up to 65535"))?))
            }
            _ => (authority, default),
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.ok_or_else(|| usage("a port is needed"))?,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }

    /// Host and port as they stand in a Host header.
    fn authority(&self) -> String {
        match (self.scheme.as_str(), self.port) {
            ("http" | "h2c" | "grpc" | "ws", 80) | ("https" | "h2" | "grpcs" | "wss", 443) => {
                self.host.clone()
            }
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    fn is_tls(&self) -> bool {
        matches!(self.scheme.as_str(), "https" | "h2" | "grpcs" | "wss" | "tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        for (url, host, port, path) in [
            ("http://a.example", "a.example", 80, "/"),
            ("h2://a.example?x=1", "a.example", 443, "/?x=1"),
            ("ws://[::1]:8080/chat", "[::1]", 8080, "/chat"),
            ("udp://127.0.0.1:5300", "127.0.0.1", 5300, "/"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.host.as_str(), target.port, target.path.as_str()),
                (host, port, path),
                "{url}"
            );
        }
        for bad in ["a.example", "tcp://a.example", "http://a:b/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
