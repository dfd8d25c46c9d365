//! Which HTTP a plaintext client speaks, from its first bytes.

use std::io;

use tokio::io::AsyncRead;

use super::prefixed::Prefixed;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sniffed {
    /// HTTP/1.x, or something that an HTTP/1.x server will refuse.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// A TLS handshake record.
    Tls,
}

/// Reads until the first bytes tell, at most four; they are kept in the stream. None: the client closed
/// before that. Until the first byte arrives nothing is buffered: a connection that is not used yet costs
/// only its socket and this future.
///
/// `PRI` is no method that a request may use (RFC 9113 §3.4), so four bytes of the preface are enough; a bad
/// rest is for the HTTP/2 codec to refuse.
///
/// # Errors
/// Those of the stream.
pub async fn sniff<S: AsyncRead + Unpin>(stream: &mut Prefixed<S>) -> io::Result<Option<Sniffed>> {
    loop {
        if let Some(sniffed) = decide(stream.kept()) {
            return Ok(Some(sniffed));
        }
        if stream.fill().await? == 0 {
            // A few bytes and then the end: let the HTTP/1 codec say what is wrong with them.
            return Ok((!stream.kept().is_empty()).then_some(Sniffed::Http1));
        }
    }
}

fn decide(bytes: &[u8]) -> Option<Sniffed> {
    match bytes {
        // TLS record of type handshake, legacy major version 3 (RFC 8446 §5.1).
        [0x16, 3, ..] => Some(Sniffed::Tls),
        [] | [0x16] => None,
        _ if bytes.starts_with(PREFACE) => Some(Sniffed::Http2),
        _ if PREFACE.starts_with(bytes) => None,
        _ => Some(Sniffed::Http1),
    }
}

const PREFACE: &[u8] = b"PRI ";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn first_bytes_tell_at_every_split() {
        for (input, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some(Sniffed::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Sniffed::Http2)),
            (b"PRINT / HTTP/1.1\r\n", Some(Sniffed::Http1)),
            (b"PUT / HTTP/1.1\r\n", Some(Sniffed::Http1)),
            (b"\x16\x03\x01\x02", Some(Sniffed::Tls)),
            (b"\x16\x02", Some(Sniffed::Http1)),
            (b"PR", Some(Sniffed::Http1)),
            (b"", None),
        ] {
            for split in 0..=input.len() {
                let (mut peer, stream) = tokio::io::duplex(64);
                let (first, second) = input.split_at(split);
                let writes = async {
                    peer.write_all(first).await.unwrap();
                    tokio::task::yield_now().await;
                    peer.write_all(second).await.unwrap();
                    drop(peer);
                };
                let mut stream = Prefixed::new(stream);
                let reads = async {
                    let sniffed = sniff(&mut stream).await.unwrap();
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    (sniffed, all)
                };
                let ((), (sniffed, all)) = tokio::join!(writes, reads);
                assert_eq!((sniffed, all.as_slice()), (expected, input), "{input:?} at {split}");
            }
        }
    }
}
