//! Accepting TLS: read the ClientHello, let its SNI choose, then end TLS here or pass it on untouched.
//!
//! The ClientHello is read by rustls' own acceptor, so that what chooses the listener is what the handshake
//! uses, however the client cuts it into records and segments. Its bytes are kept for passthrough.

pub(crate) mod hello;
mod limit;
mod peer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use identity::{HandshakeError, HttpVersion, ServerTlsConfig, http_version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::mesh::Asked;
use super::prefixed::Prefixed;
use crate::compiled::{CompiledL4, CompiledServer, CompiledTlsInner, CompiledTlsServer, HostTable};
use crate::telemetry::flags::Flags;
use crate::telemetry::metrics::TlsFailure;

pub use hello::Hello;
pub use limit::Handshakes;
pub use peer::PeerCertificate;

use hello::{HelloError, Read};

/// What an SNI has chosen. `T` is whatever the chooser wants to find again in the [`TlsOutcome`].
pub enum TlsChoice<T> {
    /// End TLS here.
    Terminate {
        /// With this configuration.
        config: ServerTlsConfig,
        /// Found again in the outcome.
        chosen: T,
    },
    /// Pass everything on untouched.
    Passthrough(T),
    /// Refuse.
    Refuse(TlsRefusal),
}

/// Why TLS did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct TlsRefusal {
    /// For metrics.
    pub failure: TlsFailure,
    /// For the log.
    pub detail: Arc<str>,
    /// What the client asked for, if that was read.
    pub server_name: Option<Arc<str>>,
}

/// What became of a connection.
pub enum TlsOutcome<S, T> {
    /// TLS ends here.
    Terminated {
        /// The inner stream.
        stream: Box<TlsStream<Prefixed<S>>>,
        /// What the handshake settled.
        facts: TlsFacts,
        /// From the choice.
        chosen: T,
    },
    /// TLS passes through: the stream begins with the ClientHello.
    Passthrough {
        /// The stream.
        stream: Prefixed<S>,
        /// SNI.
        server_name: Option<Arc<str>>,
        /// From the choice.
        chosen: T,
    },
    /// The client got an alert where one made sense; the connection is gone.
    Refused(TlsRefusal),
}

/// What a handshake settled.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// SNI: lower case, without a trailing dot.
    pub server_name: Option<Arc<str>>,
    /// Whether ALPN settled on HTTP/2.
    pub http2: bool,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The client's certificate, if it showed one.
    pub peer: Option<Arc<PeerCertificate>>,
}

/// Bounds of an accept.
#[derive(Clone, Copy, Debug)]
pub struct TlsLimits<'a> {
    /// From now to the end of the handshake.
    pub timeout: Duration,
    /// Handshakes at once.
    pub handshakes: &'a Handshakes,
}

/// What a listener's table has chosen by SNI.
#[derive(Clone, Debug)]
pub(crate) enum TlsTarget {
    /// HTTP inside TLS that ends here, maybe with a mesh peer.
    Http(Arc<CompiledServer>, Option<Asked>),
    /// Opaque bytes: inside TLS that ended here, or TLS passed through.
    Tcp(Arc<CompiledL4>, Option<Asked>),
}

/// Accepts a connection at a TLS listener: the most specific host pattern that matches the SNI decides.
pub(crate) async fn accept<S>(
    stream: Prefixed<S>,
    servers: &HostTable<CompiledTlsServer>,
    limits: TlsLimits<'_>,
) -> TlsOutcome<S, TlsTarget>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    negotiate(stream, limits, |hello| choose(servers, hello)).await
}

fn choose(servers: &HostTable<CompiledTlsServer>, hello: &Hello) -> TlsChoice<TlsTarget> {
    let name = hello.server_name.as_deref().unwrap_or_default();
    let unknown = || {
        let detail = if name.is_empty() { "no listener without SNI" } else { "no listener for the SNI" };
        TlsChoice::Refuse(TlsRefusal::new(TlsFailure::UnknownName, detail))
    };
    match servers.find(name) {
        None => unknown(),
        Some(CompiledTlsServer::Closed { reason }) => {
            TlsChoice::Refuse(TlsRefusal::new(TlsFailure::Closed, reason))
        }
        Some(CompiledTlsServer::Passthrough(rules)) => rules
            .find(name)
            .map_or_else(unknown, |rule| TlsChoice::Passthrough(TlsTarget::Tcp(rule.clone(), None))),
        Some(CompiledTlsServer::Terminate { config, inner, mesh, .. }) => {
            let asked = match mesh.as_ref().map(Asked::new).transpose() {
                Ok(asked) => asked,
                Err(refusal) => return TlsChoice::Refuse(refusal),
            };
            let chosen = match inner {
                CompiledTlsInner::Http(server) => Some(TlsTarget::Http(server.clone(), asked)),
                CompiledTlsInner::Tcp(rules) => {
                    rules.find(name).map(|rule| TlsTarget::Tcp(rule.clone(), asked))
                }
            };
            chosen.map_or_else(unknown, |chosen| TlsChoice::Terminate { config: config.clone(), chosen })
        }
    }
}

/// Reads the ClientHello, asks `choose`, and does what it says.
pub async fn negotiate<S, T>(
    mut stream: Prefixed<S>,
    limits: TlsLimits<'_>,
    choose: impl FnOnce(&Hello) -> TlsChoice<T>,
) -> TlsOutcome<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + limits.timeout;
    let read = match timeout_at(deadline, hello::read(&mut stream)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return refuse_hello(stream, error, deadline).await,
        Err(_) => {
            return TlsOutcome::Refused(TlsRefusal::new(
                TlsFailure::Timeout,
                "ClientHello did not arrive in time",
            ));
        }
    };
    let server_name = read.hello.server_name.clone();
    let refused = match choose(&read.hello) {
        TlsChoice::Passthrough(chosen) => return TlsOutcome::Passthrough { stream, server_name, chosen },
        TlsChoice::Terminate { config, chosen } => {
            match handshake(stream, read, &config, limits.handshakes, deadline).await {
                Ok((stream, facts)) => {
                    return TlsOutcome::Terminated { stream: Box::new(stream), facts, chosen };
                }
                Err(refusal) => refusal,
            }
        }
        TlsChoice::Refuse(refusal) => {
            // RFC 6066 §3: unrecognized_name, fatal. What we cannot serve is our own fault: internal_error.
            let description = if refusal.failure == TlsFailure::UnknownName { 112 } else { 80 };
            send_alert(stream, &[0x15, 3, 3, 0, 2, 2, description], deadline).await;
            refusal
        }
    };
    TlsOutcome::Refused(TlsRefusal { server_name, ..refused })
}

async fn refuse_hello<S, T>(stream: Prefixed<S>, error: HelloError, deadline: Instant) -> TlsOutcome<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refusal = match error {
        HelloError::Io(error) => TlsRefusal::new(TlsFailure::Broken, &error.to_string()),
        HelloError::Ended => TlsRefusal::new(TlsFailure::Broken, "connection ended before its ClientHello"),
        HelloError::TooLong => TlsRefusal::new(TlsFailure::NotTls, "ClientHello is too long"),
        HelloError::Tls { error, alert } => {
            send_alert(stream, &alert, deadline).await;
            TlsRefusal::new(TlsFailure::NotTls, &error.to_string())
        }
    };
    TlsOutcome::Refused(refusal)
}

async fn handshake<S>(
    stream: Prefixed<S>,
    read: Read,
    config: &ServerTlsConfig,
    handshakes: &Handshakes,
    deadline: Instant,
) -> Result<(TlsStream<Prefixed<S>>, TlsFacts), TlsRefusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(turn) = handshakes.turn(deadline).await else {
        return Err(TlsRefusal::new(TlsFailure::Shed, "too many TLS handshakes at once"));
    };
    // The acceptor has taken these bytes already; only what it left is read again.
    let (kept, stream) = stream.into_parts();
    let mut stream = Prefixed::with_kept(stream, kept);
    stream.consume(read.taken);
    let accept = StartHandshake::from_parts(read.accepted, stream).into_stream(config.config.clone());
    let stream = tokio::select! {
        result = timeout_at(deadline, accept) => match result {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(TlsRefusal::new(TlsFailure::Timeout, "handshake did not end in time")),
        },
        () = turn.needed_by_others() => {
            return Err(TlsRefusal::new(TlsFailure::Shed, "slow handshake gave way to others"));
        }
    };
    drop(turn);
    let (_, session) = stream.get_ref();
    let facts = TlsFacts {
        server_name: read.hello.server_name,
        http2: http_version(session.alpn_protocol()) == HttpVersion::Http2,
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        peer: session
            .peer_certificates()
            .and_then(|chain| PeerCertificate::read(chain, config.verdict(Some(chain))))
            .map(Arc::new),
    };
    Ok((stream, facts))
}

fn failed(error: &io::Error) -> TlsRefusal {
    use rustls::Error;
    let failure = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => TlsFailure::ClientCertificate,
        Some(Error::AlertReceived(_) | Error::PeerIncompatible(_)) => TlsFailure::Alert,
        Some(_) => TlsFailure::NotTls,
        None => TlsFailure::Broken,
    };
    TlsRefusal::new(failure, &HandshakeError::from(error).detail)
}

/// The client is owed no more than a try.
async fn send_alert<S: AsyncWrite + Unpin>(mut stream: Prefixed<S>, alert: &[u8], deadline: Instant) {
    let _ = timeout_at(deadline, async {
        stream.write_all(alert).await?;
        stream.shutdown().await
    })
    .await;
}

impl TlsRefusal {
    /// For the access log.
    pub fn flags(&self) -> Flags {
        match self.failure {
            TlsFailure::UnknownName => Flags::NO_ROUTE,
            TlsFailure::Closed => Flags::NO_BACKEND,
            TlsFailure::NotTls
            | TlsFailure::Plaintext
            | TlsFailure::Timeout
            | TlsFailure::ClientCertificate
            | TlsFailure::Alert => Flags::DOWNSTREAM_PROTOCOL_ERROR,
            TlsFailure::Broken => Flags::DOWNSTREAM_TERMINATED,
            TlsFailure::Shed => Flags::OVERLOAD,
        }
    }

    /// Whether the client said nothing at all: a load balancer that looks whether the port is open, most likely.
    pub fn is_probe(&self) -> bool {
        self.failure == TlsFailure::Broken && self.server_name.is_none()
    }

    /// A refusal with what is known before the SNI is.
    pub fn new(failure: TlsFailure, detail: &str) -> Self {
        Self { failure, detail: detail.into(), server_name: None }
    }
}

#[cfg(test)]
mod tests;
