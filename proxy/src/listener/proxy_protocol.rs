//! PROXY protocol: who the client behind a load balancer is, told in front of everything else.
//!
//! Versions 1 and 2 of <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. A header is believed
//! only from a trusted peer; anything malformed closes the connection.

mod parse;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{ProxyProtocol, ProxyProtocolMode};
use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout_at};

use super::prefixed::Prefixed;

pub use parse::{Endpoints, Malformed, Parsed, parse};

/// Why a connection was refused at its PROXY header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// The listener takes connections only from trusted peers.
    #[error("peer {0} is not in the listener's trusted ranges")]
    Untrusted(IpAddr),
    /// The listener requires a header and the first bytes are none.
    #[error("connection does not begin with a PROXY header")]
    Missing,
    /// It looks like a header, but is none.
    #[error("malformed PROXY header")]
    Malformed(#[from] Malformed),
    /// The header did not arrive in time.
    #[error("PROXY header did not arrive in time")]
    Timeout,
    /// The connection ended inside the header.
    #[error("connection ended inside the PROXY header")]
    Ended,
    /// The connection broke.
    #[error("connection broke")]
    Io(#[from] std::io::Error),
}

/// Reads the header as the listener's policy says. Returns the stream, positioned at the first byte after the
/// header, and the endpoints that it named; none if there was no header or it named none (LOCAL, UNKNOWN,
/// UNSPEC): then the connection's own endpoints count.
///
/// # Errors
/// The connection must be closed without an answer.
pub async fn read_header<S: AsyncRead + Unpin>(
    stream: S,
    peer: SocketAddr,
    policy: &ProxyProtocol,
    timeout: Duration,
) -> Result<(Prefixed<S>, Option<Endpoints>), ProxyProtocolError> {
    let mut stream = Prefixed::new(stream);
    let required = match policy.mode {
        ProxyProtocolMode::Off => return Ok((stream, None)),
        ProxyProtocolMode::Optional => false,
        ProxyProtocolMode::Required => true,
    };
    let address = peer.ip().to_canonical();
    if !policy.trusted.iter().any(|range| range.contains(&address)) {
        return if required { Err(ProxyProtocolError::Untrusted(address)) } else { Ok((stream, None)) };
    }
    let deadline = Instant::now() + timeout;
    loop {
        match parse(stream.kept())? {
            Parsed::Header { length, endpoints } => {
                stream.consume(length);
                return Ok((stream, endpoints));
            }
            Parsed::Absent if required => return Err(ProxyProtocolError::Missing),
            Parsed::Absent => return Ok((stream, None)),
            Parsed::Incomplete => {}
        }
        match timeout_at(deadline, stream.fill()).await {
            Ok(Ok(0)) if stream.kept().is_empty() && !required => return Ok((stream, None)),
            Ok(Ok(0)) => return Err(ProxyProtocolError::Ended),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.into()),
            // A silent client of a protocol where the server speaks first.
            Err(_) if stream.kept().is_empty() && !required => return Ok((stream, None)),
            Err(_) => return Err(ProxyProtocolError::Timeout),
        }
    }
}

#[cfg(test)]
mod tests;
