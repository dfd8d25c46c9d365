//! Builds what takes mesh peers as clients. Whatever is missing closes TLS there and nothing else.

use std::sync::Arc;

use identity::{MeshAlpn, MeshServer, mesh_server_config};
use model::{
    ClientAuth, ConnectionPolicy, IdentityName, KeyPair, MeshClients, Protocol, ServerTls, TlsVersion,
};
use tracing::warn;

use super::{Build, Earlier};
use crate::compiled::{
    ClientAuthMode, CompileError, CompiledMesh, CompiledMeshListener, CompiledTlsInner, CompiledTlsServer,
};

impl Build<'_> {
    /// Mesh peers on a listener of protocol HTTP or TCP.
    pub(super) fn mesh_listener(
        &self,
        subject: &str,
        protocol: &Protocol,
        connection: &ConnectionPolicy,
        earlier: Option<Earlier<'_>>,
    ) -> Option<CompiledMeshListener> {
        let clients = connection.mesh.as_ref()?;
        let alpn = match protocol {
            Protocol::Http(_) => MeshAlpn::Http,
            Protocol::Tcp(_) => MeshAlpn::None,
            // Datagrams have no mesh, and TLS listeners say it elsewhere.
            Protocol::Tls(_) | Protocol::Udp(_) => return None,
        };
        let kept = earlier.and_then(|earlier| earlier.compiled.mesh.as_ref()?.peers.as_ref().ok());
        let same_protocol = earlier.is_some_and(|earlier| {
            std::mem::discriminant(&earlier.source.protocol) == std::mem::discriminant(protocol)
        });
        let kept = kept.filter(|kept| same_protocol && kept.clients == *clients && self.runs(kept));
        let peers = match kept {
            Some(kept) => Ok(Arc::clone(kept)),
            None => self.mesh(subject, clients, &[], TlsVersion::default(), alpn),
        };
        Some(CompiledMeshListener { mode: clients.mode, peers })
    }

    /// A TLS server that shows our SVID, or takes mesh peers, or both.
    pub(super) fn mesh_server(
        &self,
        subject: &str,
        tls: &ServerTls,
        inner: CompiledTlsInner,
        kept: Option<&Arc<CompiledMesh>>,
    ) -> Result<CompiledTlsServer, CompileError> {
        let closed = |reason: String| Ok(CompiledTlsServer::Closed { reason: reason.into() });
        let alpn = match &inner {
            CompiledTlsInner::Http(_) => MeshAlpn::Http,
            CompiledTlsInner::Tcp(_) => MeshAlpn::None,
        };
        let clients = match (&tls.client_auth, &tls.svid) {
            (ClientAuth::Mesh(clients), Some(svid)) if clients.identity != *svid => {
                return closed(format!(
                    "it shows the SVID of {svid}, but {} judges its clients",
                    clients.identity
                ));
            }
            (ClientAuth::Mesh(clients), _) => clients,
            (ClientAuth::None, Some(svid)) => {
                return Ok(match self.unasking(svid, tls, alpn) {
                    Ok(config) => CompiledTlsServer::Terminate {
                        config,
                        inner,
                        client_auth: ClientAuthMode::None,
                        mesh: None,
                    },
                    Err(reason) => CompiledTlsServer::Closed { reason },
                });
            }
            (ClientAuth::Closed { reason }, _) => {
                return Ok(CompiledTlsServer::Closed { reason: reason.clone() });
            }
            (ClientAuth::None | ClientAuth::Require(_) | ClientAuth::InsecureFallback(_), _) => {
                return closed(
                    "where the SVID is shown, clients are mesh peers or not asked at all".to_owned(),
                );
            }
        };
        let pairs = self.pairs(subject, if tls.svid.is_some() { &[] } else { &tls.certificates })?;
        let mesh = match kept {
            Some(kept) => Ok(Arc::clone(kept)),
            None if tls.svid.is_none() && pairs.is_empty() => Err("the listener has no certificate".into()),
            None => self.mesh(subject, clients, &pairs, tls.min_version, alpn),
        };
        Ok(match mesh {
            Ok(mesh) => CompiledTlsServer::Terminate {
                config: mesh.config.clone(),
                inner,
                client_auth: ClientAuthMode::Mesh,
                mesh: Some(mesh),
            },
            Err(reason) => CompiledTlsServer::Closed { reason },
        })
    }

    /// Our SVID for clients that are not asked who they are.
    fn unasking(
        &self,
        svid: &IdentityName,
        tls: &ServerTls,
        alpn: MeshAlpn,
    ) -> Result<identity::ServerTlsConfig, Arc<str>> {
        let live = self.mesh.get(svid).ok_or_else(|| not_running(svid))?;
        mesh_server_config(MeshServer {
            identity: live.identity(),
            clients: None,
            certificates: &[],
            min_version: tls.min_version,
            alpn,
        })
        .map_err(|error| error.to_string().into())
    }

    fn mesh(
        &self,
        subject: &str,
        clients: &MeshClients,
        certificates: &[&KeyPair],
        min_version: TlsVersion,
        alpn: MeshAlpn,
    ) -> Result<Arc<CompiledMesh>, Arc<str>> {
        let live = self.mesh.get(&clients.identity).ok_or_else(|| not_running(&clients.identity))?;
        let server =
            MeshServer { identity: live.identity(), clients: Some(clients), certificates, min_version, alpn };
        match mesh_server_config(server) {
            Ok(config) => Ok(Arc::new(CompiledMesh {
                clients: clients.clone(),
                live: Arc::clone(live),
                shown: certificates.is_empty(),
                config,
            })),
            Err(error) => {
                warn!(%error, server = subject, "Mesh TLS is closed because its settings cannot be used");
                Err(error.to_string().into())
            }
        }
    }

    /// Whether the identity of an earlier generation is still the one that runs.
    pub(super) fn runs(&self, mesh: &CompiledMesh) -> bool {
        self.mesh.get(&mesh.clients.identity).is_some_and(|live| Arc::ptr_eq(live, &mesh.live))
    }
}

fn not_running(identity: &IdentityName) -> Arc<str> {
    format!("the identity {identity} does not run").into()
}
