//! TCP: a greeting, then every byte comes back. UDP: every datagram comes back.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::door::Stream;

/// Answers what comes in, behind the workload's name (and the caller's), until the peer closes its side.
pub(super) async fn echo(mut stream: Stream, workload: Arc<str>, caller: Option<Arc<str>>) {
    let name = caller.map_or_else(|| workload.to_string(), |caller| format!("{workload} to {caller}"));
    let mut buffer = vec![0; 16 * 1024];
    let mut named = false;
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let mut answer = Vec::with_capacity(length + name.len() + 2);
        if !std::mem::replace(&mut named, true) {
            answer.extend_from_slice(format!("{name}: ").as_bytes());
        }
        answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
    // The peer has closed its side, or is gone, and then this has no effect.
    _ = stream.shutdown().await;
}

/// Sends every datagram back, behind the workload's name.
pub(super) async fn serve_udp(socket: UdpSocket, workload: Arc<str>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let mut answer = format!("{workload}: ").into_bytes();
        answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        // A peer that is gone makes this fail; the next datagram is answered all the same.
        _ = socket.send_to(&answer, peer).await;
    }
}
