//! Raw bytes to a port and what comes back until the peer closes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes and reads until the peer closes, at most ten seconds.
///
/// # Errors
/// The connection fails, or the peer keeps it open for longer.
pub async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Result<String> {
    let work = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_ref()).await?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Ok(_) => {}
            // What came before a reset counts.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && !answer.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(10), work)
        .await
        .with_context(|| format!("{address} keeps the connection open"))?
        .with_context(|| format!("{address}"))
}

/// The body of a page, if it is answered 200.
///
/// # Errors
/// It is not.
pub async fn page(address: SocketAddr, path: &str) -> Result<String> {
    let answer = exchange(address, format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).await?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{path}: {answer}"))?;
    anyhow::ensure!(head.contains(" 200 "), "{path}: {answer}");
    Ok(body.to_owned())
}
