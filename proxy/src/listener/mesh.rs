//! Mesh peers on a port that is not TLS by itself: TLS is looked for in the first bytes, as Istio's sidecars do.
//!
//! On HTTP every TLS connection ends here. On opaque TCP in permissive mode only Istio mTLS does (ALPN `istio…`): other
//! TLS is the application's own and goes through untouched (istio.md §2.1). In strict mode nothing else goes through.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use identity::peer_facts;
use model::MeshMode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;

use super::prefixed::Prefixed;
use super::sniff::{Sniffed, sniff};
use super::tls::{TlsChoice, TlsFacts, TlsLimits, TlsOutcome, TlsRefusal, negotiate};
use crate::compiled::{CompiledMesh, CompiledMeshListener};
use crate::http::connection::MeshPeer;
use crate::mesh::{Before, Side};
use crate::telemetry::metrics::TlsFailure;

/// What came in.
pub(super) enum Found<S> {
    /// Not mesh TLS, and let in all the same.
    Plain(Prefixed<S>),
    /// Mesh TLS that ended here.
    Mesh { stream: Box<TlsStream<Prefixed<S>>>, facts: TlsFacts, peer: MeshPeer },
    /// Not let in.
    Refused(TlsRefusal),
    /// The client has gone, or said nothing in time.
    Gone,
}

/// A mesh server that was chosen before its handshake, and what held then.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) mesh: Arc<CompiledMesh>,
    before: Before,
}

impl Asked {
    /// The refusal if the identity cannot judge anybody now.
    pub(crate) fn new(mesh: &Arc<CompiledMesh>) -> Result<Self, TlsRefusal> {
        let Some(before) = mesh.live.before() else {
            mesh.live.counters().refuse(Side::Downstream, "not_ready");
            let reason = mesh.live.not_ready().unwrap_or_else(|| "the identity is not ready".to_owned());
            return Err(TlsRefusal::new(TlsFailure::Closed, &reason));
        };
        Ok(Self { mesh: Arc::clone(mesh), before })
    }

    /// Ties the connection to what its handshake has verified. A client without a certificate has none.
    pub(super) fn answered<S>(self, stream: &TlsStream<S>) -> Result<MeshPeer, TlsRefusal> {
        let Self { mesh, before } = self;
        let own = mesh.shown.then(|| before.own().clone());
        let tie = match stream.get_ref().1.peer_certificates() {
            None => None,
            Some(chain) => {
                let peer = peer_facts(chain, mesh.live.identity().profile());
                let unread =
                    || TlsRefusal::new(TlsFailure::ClientCertificate, "the peer's certificate names nobody");
                let peer = peer.ok_or_else(unread)?;
                Some(Rc::new(mesh.live.tie(peer, &before, Side::Downstream, mesh.shown)))
            }
        };
        Ok(MeshPeer::new(tie, own, mesh))
    }
}

/// Looks for mesh TLS in front of HTTP. `first` bounds the wait for the first bytes.
pub(super) async fn before_http<S>(
    mut stream: Prefixed<S>,
    listener: &CompiledMeshListener,
    limits: TlsLimits<'_>,
    first: Duration,
) -> Found<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(first, sniff(&mut stream)).await {
        Ok(Ok(Some(Sniffed::Tls))) => take(stream, listener, limits, |_| true).await,
        Ok(Ok(Some(Sniffed::Http1 | Sniffed::Http2))) => plain(stream, listener),
        Ok(Ok(None) | Err(_)) | Err(_) => Found::Gone,
    }
}

/// Looks for mesh TLS in front of bytes that nobody understands.
pub(super) async fn before_bytes<S>(
    mut stream: Prefixed<S>,
    listener: &CompiledMeshListener,
    limits: TlsLimits<'_>,
) -> Found<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let permissive = listener.mode == MeshMode::Permissive;
    // Where the server speaks first, a client in the clear waits for it: it is not kept waiting for long.
    let wait = if permissive { SERVER_FIRST.min(limits.timeout) } else { limits.timeout };
    match timeout_at(Instant::now() + wait, is_tls(&mut stream)).await {
        Ok(Ok(true)) => take(stream, listener, limits, |istio| istio || !permissive).await,
        Ok(Ok(false)) => plain(stream, listener),
        Ok(Err(_)) => Found::Gone,
        Err(_) if permissive => Found::Plain(stream),
        Err(_) => Found::Gone,
    }
}

fn plain<S>(stream: Prefixed<S>, listener: &CompiledMeshListener) -> Found<S> {
    match listener.mode {
        MeshMode::Permissive => Found::Plain(stream),
        MeshMode::Strict => {
            if let Ok(mesh) = &listener.peers {
                mesh.live.counters().refuse(Side::Downstream, "plaintext");
            }
            Found::Refused(TlsRefusal::new(TlsFailure::Plaintext, "only mesh peers are let in, by mTLS"))
        }
    }
}

/// Ends TLS if `ours` says so of whether the client offers Istio's protocols.
async fn take<S>(
    stream: Prefixed<S>,
    listener: &CompiledMeshListener,
    limits: TlsLimits<'_>,
    ours: impl FnOnce(bool) -> bool,
) -> Found<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outcome = negotiate(stream, limits, |hello| {
        if !ours(hello.offers_istio) {
            return TlsChoice::Passthrough(None);
        }
        match &listener.peers {
            Err(reason) => TlsChoice::Refuse(TlsRefusal::new(TlsFailure::Closed, reason)),
            Ok(mesh) => match Asked::new(mesh) {
                Ok(asked) => TlsChoice::Terminate { config: mesh.config.clone(), chosen: Some(asked) },
                Err(refusal) => TlsChoice::Refuse(refusal),
            },
        }
    })
    .await;
    match outcome {
        TlsOutcome::Terminated { stream, facts, chosen: Some(asked) } => match asked.answered(&stream) {
            Ok(peer) => Found::Mesh { stream, facts, peer },
            Err(refusal) => Found::Refused(refusal),
        },
        TlsOutcome::Terminated { chosen: None, .. } => Found::Gone,
        TlsOutcome::Passthrough { stream, .. } => Found::Plain(stream),
        TlsOutcome::Refused(refusal) => Found::Refused(refusal),
    }
}

/// Whether the first bytes are those of a TLS handshake record (RFC 8446 §5.1). They are kept. An end before that is
/// not TLS.
async fn is_tls<S: AsyncRead + Unpin>(stream: &mut Prefixed<S>) -> io::Result<bool> {
    loop {
        match stream.kept() {
            [0x16, 3, ..] => return Ok(true),
            [] | [0x16] => {}
            _ => return Ok(false),
        }
        if stream.fill().await? == 0 {
            return Ok(false);
        }
    }
}

/// How long a client may be silent before it is taken for one that waits for the server. A mesh peer's first flight comes
/// with the connection.
const SERVER_FIRST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
