//! TCP, TLS and UDP: the data goes out, what comes back is the answer.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::{Answer, Probe, ProbeError};

/// Sends the data, closes this side, reads to the end.
pub(super) async fn bytes<S>(probe: &Probe, mut stream: S) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: std::io::Error| ProbeError::Failed(error.to_string());
    stream.write_all(data(probe).as_bytes()).await.map_err(failed)?;
    stream.shutdown().await.map_err(failed)?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body).await.map_err(failed)?;
    Ok(received("bytes", &body))
}

/// Sends one datagram and waits for one.
pub(super) async fn datagram(probe: &Probe, address: SocketAddr) -> Result<Answer, ProbeError> {
    let failed = |error: std::io::Error| ProbeError::Failed(error.to_string());
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(address).await.map_err(failed)?;
    socket.send(data(probe).as_bytes()).await.map_err(failed)?;
    let mut buffer = vec![0; 64 * 1024];
    let length = socket.recv(&mut buffer).await.map_err(failed)?;
    Ok(received("datagram", buffer.get(..length).unwrap_or_default()))
}

fn data(probe: &Probe) -> &str {
    probe.data.as_deref().unwrap_or("hello\n")
}

fn received(what: &str, body: &[u8]) -> Answer {
    Answer {
        status: format!("{} {what} received", body.len())
            .replace(&format!("{} datagram", body.len()), "1 datagram"),
        headers: Vec::new(),
        body: String::from_utf8_lossy(body).into_owned(),
        success: !body.is_empty(),
    }
}
