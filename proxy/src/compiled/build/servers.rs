//! Builds what stands behind a socket: HTTP servers, TLS servers, opaque rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use identity::{ServerAlpn, ServerTlsConfig};
use model::{
    ClientAuth, HostPattern, HttpServer, KeyPair, L4Rule, Listener, Protocol, SecretName, ServerTls,
    TlsInner, TlsServer,
};

use super::{Build, Earlier, uses};
use crate::compiled::{
    ClientAuthMode, CompileError, CompiledL4, CompiledListener, CompiledProtocol, CompiledServer,
    CompiledTlsInner, CompiledTlsServer, HostTable,
};

type L4Rules = BTreeMap<HostPattern, L4Rule>;

impl Build<'_> {
    pub(super) fn http_servers(
        &self,
        subject: &str,
        servers: &BTreeMap<HostPattern, HttpServer>,
        earlier: Option<Earlier<'_>>,
    ) -> Result<HostTable<Arc<CompiledServer>>, CompileError> {
        let known = |host: &HostPattern| {
            let (Listener { protocol: Protocol::Http(sources), .. }, CompiledProtocol::Http(compiled)) =
                parts(earlier?)
            else {
                return None;
            };
            Some((sources.get(host)?, compiled.get(host)?))
        };
        servers
            .iter()
            .map(|(host, server)| Ok((host.clone(), self.http(subject, server, known(host))?)))
            .collect()
    }

    pub(super) fn tls_servers(
        &self,
        subject: &str,
        servers: &BTreeMap<HostPattern, TlsServer>,
        earlier: Option<Earlier<'_>>,
    ) -> Result<HostTable<CompiledTlsServer>, CompileError> {
        let known = |host: &HostPattern| {
            let (Listener { protocol: Protocol::Tls(sources), .. }, CompiledProtocol::Tls(compiled)) =
                parts(earlier?)
            else {
                return None;
            };
            Some((sources.get(host)?, compiled.get(host)?))
        };
        servers
            .iter()
            .map(|(host, server)| Ok((host.clone(), self.tls(subject, server, known(host))?)))
            .collect()
    }

    pub(super) fn only_l4(
        &self,
        subject: &str,
        rule: Option<&L4Rule>,
        earlier: Option<Earlier<'_>>,
    ) -> Result<Option<Arc<CompiledL4>>, CompileError> {
        let known = earlier.map(parts).and_then(|(source, compiled)| match (&source.protocol, compiled) {
            (Protocol::Tcp(rule), CompiledProtocol::Tcp(compiled))
            | (Protocol::Udp(rule), CompiledProtocol::Udp(compiled)) => {
                Some((rule.as_ref()?, compiled.as_ref()?))
            }
            _ => None,
        });
        rule.map(|rule| self.shared_l4(subject, rule, known)).transpose()
    }

    fn http(
        &self,
        subject: &str,
        server: &HttpServer,
        known: Option<(&HttpServer, &Arc<CompiledServer>)>,
    ) -> Result<Arc<CompiledServer>, CompileError> {
        let missing = || CompileError::new(subject, format!("route table {} is not there", server.routes));
        let routes = self.tables.get(&server.routes).ok_or_else(missing)?;
        if let Some((source, compiled)) = known
            && source == server
            && Arc::ptr_eq(&compiled.routes, routes)
            && self.kept(uses::filters(&server.filters))
        {
            return Ok(Arc::clone(compiled));
        }
        let subject = format!("{subject}, section {} of {}", server.section, server.owner);
        Ok(Arc::new(CompiledServer {
            owner: server.owner.clone(),
            section: server.section.clone(),
            port: server.port,
            routes: Arc::clone(routes),
            filters: self.filters(&subject, &server.filters)?,
        }))
    }

    fn tls(
        &self,
        subject: &str,
        server: &TlsServer,
        known: Option<(&TlsServer, &CompiledTlsServer)>,
    ) -> Result<CompiledTlsServer, CompileError> {
        match server {
            TlsServer::Closed { reason } => Ok(CompiledTlsServer::Closed { reason: reason.clone() }),
            TlsServer::Passthrough(rules) => {
                let known = match known {
                    Some((TlsServer::Passthrough(sources), CompiledTlsServer::Passthrough(compiled))) => {
                        Some((sources, compiled))
                    }
                    _ => None,
                };
                Ok(CompiledTlsServer::Passthrough(self.l4_table(subject, rules, known)?))
            }
            TlsServer::Terminate { tls, inner } => self.terminate(subject, tls, inner, known),
        }
    }

    fn terminate(
        &self,
        subject: &str,
        tls: &ServerTls,
        inner: &TlsInner,
        known: Option<(&TlsServer, &CompiledTlsServer)>,
    ) -> Result<CompiledTlsServer, CompileError> {
        let known = match known {
            Some((
                TlsServer::Terminate { tls: source_tls, inner: source },
                CompiledTlsServer::Terminate { config, inner: compiled, mesh, .. },
            )) => Some((source_tls, source, config, compiled, mesh)),
            _ => None,
        };
        let inner = match (inner, known) {
            (
                TlsInner::Http(server),
                Some((_, TlsInner::Http(source), _, CompiledTlsInner::Http(compiled), _)),
            ) => CompiledTlsInner::Http(self.http(subject, server, Some((source, compiled)))?),
            (TlsInner::Http(server), _) => CompiledTlsInner::Http(self.http(subject, server, None)?),
            (
                TlsInner::Tcp(rules),
                Some((_, TlsInner::Tcp(sources), _, CompiledTlsInner::Tcp(compiled), _)),
            ) => CompiledTlsInner::Tcp(self.l4_table(subject, rules, Some((sources, compiled)))?),
            (TlsInner::Tcp(rules), _) => CompiledTlsInner::Tcp(self.l4_table(subject, rules, None)?),
        };
        let alpn = match &inner {
            CompiledTlsInner::Http(_) => ServerAlpn::Http,
            CompiledTlsInner::Tcp(_) => ServerAlpn::None,
        };
        // A configuration is kept where nothing changed, so that session tickets outlive the swap.
        let kept = known.filter(|(source, inner, ..)| {
            let same_alpn = matches!(inner, TlsInner::Http(_)) == matches!(alpn, ServerAlpn::Http);
            *source == tls && same_alpn && self.same_secrets(tls)
        });
        if tls.svid.is_some() || matches!(tls.client_auth, ClientAuth::Mesh(_)) {
            let kept = kept.and_then(|(.., mesh)| mesh.as_ref()).filter(|mesh| self.runs(mesh));
            return self.mesh_server(subject, tls, inner, kept);
        }
        let config = match kept {
            Some((_, _, config, ..)) => config.clone(),
            None => match self.server_config(subject, tls, alpn)? {
                Ok(config) => config,
                Err(reason) => return Ok(CompiledTlsServer::Closed { reason }),
            },
        };
        let client_auth = match &tls.client_auth {
            ClientAuth::None => ClientAuthMode::None,
            ClientAuth::Require(_) => ClientAuthMode::Require,
            ClientAuth::InsecureFallback(_) => ClientAuthMode::InsecureFallback,
            ClientAuth::Mesh(_) => ClientAuthMode::Mesh,
            ClientAuth::Closed { reason } => return Ok(CompiledTlsServer::Closed { reason: reason.clone() }),
        };
        Ok(CompiledTlsServer::Terminate { config, inner, client_auth, mesh: None })
    }

    /// The inner error closes this server alone: a certificate that cannot be used is one user's mistake.
    fn server_config(
        &self,
        subject: &str,
        tls: &ServerTls,
        alpn: ServerAlpn,
    ) -> Result<Result<ServerTlsConfig, Arc<str>>, CompileError> {
        let pairs = self.pairs(subject, &tls.certificates)?;
        Ok(identity::server_config(tls, &pairs, alpn).map_err(|error| {
            tracing::warn!(%error, server = subject, "TLS server is closed because its settings cannot be used");
            error.to_string().into()
        }))
    }

    pub(super) fn pairs(&self, subject: &str, names: &[SecretName]) -> Result<Vec<&KeyPair>, CompileError> {
        let pairs = names.iter().map(|name| {
            let missing =
                || CompileError::new(subject, format!("refers to secret {name}, which is not there"));
            self.snapshot.secrets.get(name).map(Arc::as_ref).ok_or_else(missing)
        });
        pairs.collect()
    }

    fn same_secrets(&self, tls: &ServerTls) -> bool {
        tls.certificates.iter().all(|name| {
            let before = self.previous.and_then(|previous| previous.snapshot.secrets.get(name));
            before == self.snapshot.secrets.get(name)
        })
    }

    fn l4_table(
        &self,
        subject: &str,
        rules: &L4Rules,
        known: Option<(&L4Rules, &HostTable<Arc<CompiledL4>>)>,
    ) -> Result<HostTable<Arc<CompiledL4>>, CompileError> {
        let rules = rules.iter().map(|(host, rule)| {
            let known = known.and_then(|(sources, compiled)| Some((sources.get(host)?, compiled.get(host)?)));
            Ok((host.clone(), self.shared_l4(subject, rule, known)?))
        });
        rules.collect()
    }

    fn shared_l4(
        &self,
        subject: &str,
        rule: &L4Rule,
        known: Option<(&L4Rule, &Arc<CompiledL4>)>,
    ) -> Result<Arc<CompiledL4>, CompileError> {
        match known {
            Some((source, compiled)) if source == rule && self.kept(uses::weighted(&rule.backends)) => {
                Ok(Arc::clone(compiled))
            }
            _ => self.l4(subject, rule),
        }
    }
}

fn parts(earlier: Earlier<'_>) -> (&Listener, &CompiledProtocol) {
    let Earlier { source, compiled: CompiledListener { protocol, .. } } = earlier;
    (source, protocol)
}
