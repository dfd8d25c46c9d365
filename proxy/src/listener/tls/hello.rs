//! Reading a ClientHello from bytes that are kept.

use std::io;
use std::sync::Arc;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncRead;

use crate::listener::prefixed::Prefixed;

/// What a ClientHello asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// SNI: lower case, without a trailing dot. None if absent or no DNS name.
    pub server_name: Option<Arc<str>>,
    /// Whether ALPN offers `h2`.
    pub offers_http2: bool,
    /// Whether ALPN offers one of Istio's protocols: mesh mTLS, and not an application's own.
    pub offers_istio: bool,
}

/// A ClientHello that has arrived.
pub(crate) struct Read {
    pub(crate) hello: Hello,
    pub(crate) accepted: Accepted,
    /// Kept bytes that the acceptor has taken.
    pub(crate) taken: usize,
}

/// Why no ClientHello was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("connection broke")]
    Io(#[from] io::Error),
    #[error("connection ended before its ClientHello")]
    Ended,
    #[error("ClientHello is too long")]
    TooLong,
    #[error("no ClientHello")]
    Tls {
        #[source]
        error: rustls::Error,
        /// To be sent.
        alert: Vec<u8>,
    },
}

/// Reads until the ClientHello is complete. All bytes stay in the stream's kept bytes. Cancel safe in so far
/// as no byte is lost.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut Prefixed<S>) -> Result<Read, HelloError> {
    let mut acceptor = Acceptor::default();
    let mut taken = 0;
    loop {
        while let Some(mut rest) = stream.kept().get(taken..).filter(|rest| !rest.is_empty()) {
            taken += acceptor.read_tls(&mut rest)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Read { hello: facts(&accepted), accepted, taken }),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    alert.write_all(&mut bytes)?;
                    return Err(HelloError::Tls { error, alert: bytes });
                }
            }
        }
        if taken > MAX_HELLO {
            return Err(HelloError::TooLong);
        }
        if stream.fill().await? == 0 {
            return Err(HelloError::Ended);
        }
    }
}

fn facts(accepted: &Accepted) -> Hello {
    let hello = accepted.client_hello();
    let server_name = hello.server_name().map(|name| {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name.to_ascii_lowercase().into()
        } else {
            Arc::from(name)
        }
    });
    let offers = |wanted: fn(&[u8]) -> bool| hello.alpn().is_some_and(|mut alpn| alpn.any(wanted));
    Hello {
        server_name,
        offers_http2: offers(|protocol| protocol == b"h2"),
        offers_istio: offers(|protocol| protocol == b"istio" || protocol.starts_with(b"istio-")),
    }
}

/// Bytes of records up to the end of the ClientHello. Real ones take about 2 KiB (with post-quantum key
/// shares); rustls alone would let one grow to 64 KiB of one-byte records.
const MAX_HELLO: usize = 32 * 1024;
