//! Keeps one identity at work for each entry of the snapshot. Lives on the control runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use identity::{Clock, Identity, Issue, SourceContext};
use model::{
    FederatedDomain, GatewayIdentity, IdentityName, IdentitySource, KeyPair, Snapshot, TrustDomainName,
};
use tokio::time::timeout;
use tracing::info;

use super::identity::{LiveIdentity, MeshIdentities};
use crate::settings::{StartIdentity, WorkingSource};

/// The identities that run.
#[derive(Debug)]
pub struct Sources {
    issuer: Option<Arc<dyn Issue>>,
    start: StartIdentity,
    running: BTreeMap<IdentityName, Source>,
    /// Of a snapshot that is being compiled.
    candidates: Option<BTreeMap<IdentityName, Source>>,
}

#[derive(Clone)]
struct Source {
    wanted: Wanted,
    live: Arc<LiveIdentity>,
    /// Stops when the last one is dropped.
    running: Arc<dyn WorkingSource>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("live", &self.live).finish_non_exhaustive()
    }
}

/// What a source is started from. It goes on while the first part is equal, and hears of changes of the others.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    spec: Arc<GatewayIdentity>,
    key_pair: Option<Arc<KeyPair>>,
    federated: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
}

impl Sources {
    /// None yet. `issuer` is the one in the same process, if there is one.
    pub fn new(issuer: Option<Arc<dyn Issue>>, start: StartIdentity) -> Self {
        Self { issuer, start, running: BTreeMap::new(), candidates: None }
    }

    /// The identities of a snapshot: those that run already go on, others are started. Call it on the runtime that they
    /// are to run on; then [`Sources::commit`] or [`Sources::abandon`].
    ///
    /// Waits a moment for those that take the place of another one: until the first SVID comes, nothing could be done
    /// with them that the old ones can do.
    pub async fn prepare(&mut self, snapshot: &Snapshot) -> MeshIdentities {
        let candidates: BTreeMap<_, _> = snapshot
            .identities
            .iter()
            .map(|(name, spec)| {
                let wanted = Wanted::new(spec, snapshot);
                let source = match self.running.get(name).filter(|source| source.wanted.spec == wanted.spec) {
                    Some(source) => Source { wanted, ..source.clone() },
                    None => self.start(name, wanted),
                };
                (name.clone(), source)
            })
            .collect();
        let identities = candidates.values().map(|source| Arc::clone(&source.live)).collect();
        let successors = candidates.iter().filter(|(name, source)| self.replaces(name, source));
        let ready = successors.map(|(_, source)| ready(source.live.identity()));
        // Late is late: the configuration must not wait for an issuer that is down.
        let _ = timeout(SUCCESSION, join_all(ready)).await;
        self.candidates = Some(candidates);
        identities
    }

    /// The snapshot is served: what it does not name is stopped, and the connections made with it end.
    pub fn commit(&mut self) {
        let Some(next) = self.candidates.take() else { return };
        for (name, old) in std::mem::replace(&mut self.running, next) {
            match self.running.get(&name).filter(|source| Arc::ptr_eq(&source.live, &old.live)) {
                Some(source) if source.wanted != old.wanted => {
                    source.running.update(self.context(&source.wanted));
                }
                Some(_) => {}
                None => {
                    info!(identity = %name, "Identity stopped");
                    old.live.close();
                }
            }
        }
    }

    /// The snapshot is refused: what was started for it is stopped.
    pub fn abandon(&mut self) {
        for (name, source) in self.candidates.take().into_iter().flatten() {
            if self.running.get(&name).is_none_or(|running| !Arc::ptr_eq(&running.live, &source.live)) {
                source.live.close();
            }
        }
    }

    fn start(&self, name: &IdentityName, wanted: Wanted) -> Source {
        let (identity, running) = (self.start.0)(name, &wanted.spec, self.context(&wanted));
        Source { live: LiveIdentity::new(name, identity), wanted, running: running.into() }
    }

    fn context(&self, wanted: &Wanted) -> SourceContext {
        let key_pairs = match (&wanted.spec.source, &wanted.key_pair) {
            (IdentitySource::Secret { key_pair, .. }, Some(pair)) => {
                BTreeMap::from([(key_pair.clone(), Arc::clone(pair))])
            }
            _ => BTreeMap::new(),
        };
        SourceContext {
            issuer: self.issuer.clone(),
            key_pairs,
            federated: wanted.federated.clone(),
            clock: Clock::system(),
        }
    }

    /// Whether it takes the place of another one that can be used.
    fn replaces(&self, name: &IdentityName, source: &Source) -> bool {
        let old = self.running.get(name).filter(|old| !Arc::ptr_eq(&old.live, &source.live));
        old.is_some_and(|old| old.live.identity().material().is_some())
    }
}

async fn ready(identity: &Identity) {
    let mut changed = identity.changed();
    while identity.material().is_none() {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// How long a configuration waits for identities that take the place of others.
const SUCCESSION: Duration = Duration::from_secs(5);

impl Wanted {
    fn new(spec: &Arc<GatewayIdentity>, snapshot: &Snapshot) -> Self {
        let key_pair = match &spec.source {
            IdentitySource::Secret { key_pair, .. } => snapshot.secrets.get(key_pair).cloned(),
            _ => None,
        };
        Self { spec: Arc::clone(spec), key_pair, federated: snapshot.trust_domains.clone() }
    }
}
