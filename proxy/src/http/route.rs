//! From a canonical request to a server and a rule.
//! Performance-critical path.

use std::sync::Arc;

use http::StatusCode;

use crate::compiled::{
    CompiledListener, CompiledProtocol, CompiledServer, CompiledTlsInner, CompiledTlsServer,
};
use crate::compiled::{Facts, Routed};

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouteRefusal {
    /// No listener of the port serves the host: 404.
    #[error("no listener serves this host")]
    NoServer,
    /// Another server of the port owns the host: 421 (RFC 9110 §15.5.20).
    #[error("the host belongs to another listener than the connection was made to")]
    Misdirected,
    /// No route matches: 404.
    #[error("no route matches")]
    NoRoute,
    /// A route matches, but does not expect the `;` in the path, which backends read in different ways: 400.
    #[error("the path holds parameters (;) and the route names none")]
    Parameters,
}

impl RouteRefusal {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoServer | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Parameters => StatusCode::BAD_REQUEST,
        }
    }
}

/// The server that a request belongs to: by its host on a plaintext port, by the connection's SNI under TLS.
///
/// `sni` is canonical, empty where the client sent none; `host` is canonical.
///
/// # Errors
/// [`RouteRefusal::NoServer`] or [`RouteRefusal::Misdirected`].
pub fn server<'c>(
    listener: &'c CompiledListener,
    sni: &str,
    host: &str,
) -> Result<&'c Arc<CompiledServer>, RouteRefusal> {
    match &listener.protocol {
        CompiledProtocol::Http(servers) => servers.find(host).ok_or(RouteRefusal::NoServer),
        CompiledProtocol::Tls(servers) => match servers.find(sni) {
            Some(CompiledTlsServer::Terminate { inner: CompiledTlsInner::Http(server), .. }) => {
                if listener.misdirected(server, host) {
                    return Err(RouteRefusal::Misdirected);
                }
                Ok(server)
            }
            _ => Err(RouteRefusal::NoServer),
        },
        CompiledProtocol::Tcp(_) | CompiledProtocol::Udp(_) => Err(RouteRefusal::NoServer),
    }
}

/// The rule that a request goes to. `parameters` is that of its canonical path.
///
/// # Errors
/// [`RouteRefusal::NoRoute`] or [`RouteRefusal::Parameters`].
pub fn route<'c>(
    server: &'c CompiledServer,
    facts: &Facts<'_>,
    parameters: bool,
) -> Result<Routed<'c>, RouteRefusal> {
    let routed = server.routes.route(facts).ok_or(RouteRefusal::NoRoute)?;
    if parameters && !routed.parameters {
        return Err(RouteRefusal::Parameters);
    }
    Ok(routed)
}

#[cfg(test)]
mod tests;
