//! From a snapshot and the previous generation to the next one. Off the hot path.

mod filters;
mod mesh;
mod patterns;
mod rules;
mod servers;
mod tables;
mod uses;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::{BackendName, BackendRef, Listener, ListenerName, Protocol, RouteTableName, Snapshot};

use super::{CompileError, Compiled, CompiledBackendRef, CompiledListener, CompiledProtocol, CompiledTable};
use crate::mesh::MeshIdentities;
use crate::upstream::BackendHandle;

/// What a build needs to know besides the snapshot.
#[derive(Clone, Debug, Default)]
pub struct BuildContext {
    /// Counts the snapshots that were applied.
    pub generation: u64,
    /// The proxy's own zone; empty if unknown.
    pub zone: Arc<str>,
    /// The identities that run. What needs another one is closed.
    pub identities: MeshIdentities,
}

impl Compiled {
    /// Builds the next generation, sharing with `previous` whatever did not change.
    ///
    /// # Errors
    /// The first part of the snapshot that cannot be served. Endpoints of unchanged backends are taken over even
    /// then: they are facts.
    pub fn build(
        snapshot: &Arc<Snapshot>,
        previous: Option<&Self>,
        context: &BuildContext,
    ) -> Result<Self, CompileError> {
        if let Some(dangling) = snapshot.dangling().into_iter().next() {
            return Err(CompileError::new("snapshot", dangling));
        }
        let mut next = Build {
            snapshot,
            previous,
            mesh: &context.identities,
            backends: HashMap::with_capacity_and_hasher(snapshot.backends.len(), Default::default()),
            replaced: HashSet::new(),
            tables: BTreeMap::new(),
        };
        next.backends(&context.zone)?;
        for (name, table) in &snapshot.routes {
            let compiled = next.table(name, table)?;
            next.tables.insert(name.clone(), compiled);
        }
        let listeners = snapshot
            .listeners
            .iter()
            .map(|(name, listener)| Ok((name.clone(), Arc::new(next.listener(name, listener)?))))
            .collect::<Result<_, CompileError>>()?;
        Ok(Self {
            generation: context.generation,
            listeners,
            tables: next.tables,
            backends: next.backends,
            snapshot: Arc::clone(snapshot),
        })
    }
}

struct Build<'a> {
    snapshot: &'a Snapshot,
    previous: Option<&'a Compiled>,
    mesh: &'a MeshIdentities,
    backends: HashMap<BackendName, Arc<BackendHandle>, ahash::RandomState>,
    /// Backends whose handle is not the previous one: what refers to them cannot be shared.
    replaced: HashSet<BackendName>,
    tables: BTreeMap<RouteTableName, Arc<CompiledTable>>,
}

/// The same listener in the previous generation: what it was made from, and what was made of it.
#[derive(Clone, Copy)]
struct Earlier<'a> {
    source: &'a Listener,
    compiled: &'a CompiledListener,
}

impl<'a> Build<'a> {
    fn backends(&mut self, zone: &str) -> Result<(), CompileError> {
        for (name, spec) in &self.snapshot.backends {
            let earlier = self.previous.and_then(|previous| previous.backends.get(name));
            let missing =
                || CompileError::new(format!("backend {name}"), "the snapshot has no endpoints for it");
            let endpoints = self.snapshot.endpoints.get(name).cloned().ok_or_else(missing)?;
            let handle = BackendHandle::build(
                name,
                spec,
                &endpoints,
                &self.snapshot.secrets,
                zone,
                self.mesh,
                earlier,
            )
            .map_err(|error| CompileError::new(format!("backend {name}"), error))?;
            if !earlier.is_some_and(|earlier| Arc::ptr_eq(earlier, &handle)) {
                self.replaced.insert(name.clone());
            }
            self.backends.insert(name.clone(), handle);
        }
        Ok(())
    }

    fn listener(&self, name: &ListenerName, listener: &Listener) -> Result<CompiledListener, CompileError> {
        let earlier = self.previous.and_then(|previous| {
            let source = previous.snapshot.listeners.get(name)?;
            Some(Earlier { source, compiled: previous.listeners.get(name)? })
        });
        let subject = format!("listener {name}");
        let protocol = match &listener.protocol {
            Protocol::Http(servers) => CompiledProtocol::Http(self.http_servers(&subject, servers, earlier)?),
            Protocol::Tls(servers) => CompiledProtocol::Tls(self.tls_servers(&subject, servers, earlier)?),
            Protocol::Tcp(rule) => CompiledProtocol::Tcp(self.only_l4(&subject, rule.as_ref(), earlier)?),
            Protocol::Udp(rule) => CompiledProtocol::Udp(self.only_l4(&subject, rule.as_ref(), earlier)?),
        };
        let mesh = self.mesh_listener(&subject, &listener.protocol, &listener.connection, earlier);
        let kept = earlier.filter(|earlier| *earlier.compiled.connection == listener.connection);
        Ok(CompiledListener {
            name: name.clone(),
            gateway: listener.gateway.clone(),
            addresses: listener.addresses.clone(),
            port: listener.port,
            connection: kept
                .map(|earlier| Arc::clone(&earlier.compiled.connection))
                .unwrap_or_else(|| Arc::new(listener.connection.clone())),
            mesh,
            protocol,
        })
    }

    fn backend(&self, subject: &str, backend: &BackendRef) -> Result<CompiledBackendRef, CompileError> {
        match backend {
            BackendRef::Name(name) => {
                let missing =
                    || CompileError::new(subject, format!("refers to backend {name}, which is not there"));
                self.backends.get(name).cloned().map(CompiledBackendRef::Backend).ok_or_else(missing)
            }
            BackendRef::Invalid { reason, status } => Ok(CompiledBackendRef::Invalid {
                reason: reason.clone(),
                status: rules::status(subject, *status, 400..=599)?,
            }),
        }
    }

    /// Whether everything that `names` name is the same upstream as in the previous generation.
    fn kept<'m>(&self, mut names: impl Iterator<Item = &'m BackendName>) -> bool {
        self.replaced.is_empty() || names.all(|name| !self.replaced.contains(name))
    }
}

#[cfg(test)]
mod tests;
