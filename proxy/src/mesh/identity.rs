//! An identity at work, as the compiled configuration and connections hold it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use identity::{Clock, Identity, PeerFacts, WorkloadId};
use model::{BackendProtocol, IdentityName, MeshPeer, Snapshot};

use super::counters::{MeshCounters, Side};
use super::judge;
use super::ledger::Ledger;
use super::link::{Link, Tie};
use super::target::{MeshTarget, Targets};

/// An identity at work. The same one as long as its entry in the snapshot stays equal.
#[derive(Debug)]
pub struct LiveIdentity {
    name: IdentityName,
    identity: Identity,
    ledger: Arc<Ledger>,
    targets: Mutex<Targets>,
}

/// What held just before a handshake. Trust that changed during it is looked at again.
#[derive(Clone, Debug)]
pub struct Before {
    generation: u64,
    own: WorkloadId,
    /// When the SVID ends that is shown at the latest.
    own_ends: SystemTime,
}

impl Before {
    /// Who we are.
    pub fn own(&self) -> &WorkloadId {
        &self.own
    }
}

impl LiveIdentity {
    /// Takes an identity over, and judges its connections on the current runtime, if there is one.
    pub fn new(name: &IdentityName, identity: Identity) -> Arc<Self> {
        let ledger = Arc::<Ledger>::default();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(judge::run(identity.clone(), Arc::clone(&ledger)));
        }
        Arc::new(Self { name: name.clone(), identity, ledger, targets: Mutex::default() })
    }

    /// Its name in the snapshot.
    pub fn name(&self) -> &IdentityName {
        &self.name
    }

    /// The identity itself.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its connections.
    #[cfg(test)]
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What its connections count.
    pub fn counters(&self) -> &MeshCounters {
        &self.ledger.counters
    }

    /// What holds now; ask before a handshake. None: the identity cannot be used, so there must be none.
    pub fn before(&self) -> Option<Before> {
        let material = self.identity.material()?;
        Some(Before {
            generation: material.generation,
            own: material.svid.id().clone(),
            own_ends: material.svid.not_after(),
        })
    }

    /// Why the identity cannot be used.
    pub fn not_ready(&self) -> Option<String> {
        self.identity.status().not_ready
    }

    /// Ties a connection whose handshake has verified `peer`. With `shown` it hangs on our own SVID too.
    pub fn tie(&self, peer: PeerFacts, before: &Before, side: Side, shown: bool) -> Tie {
        let ends = if shown { peer.not_after.min(before.own_ends) } else { peer.not_after };
        let unsure = self.identity.material().is_none_or(|now| now.generation != before.generation);
        self.ledger.enter(Link::new(peer, side), ends, self.identity.clock().now(), unsure)
    }

    /// The way to a meshed endpoint; equal endpoints share it, also over configurations.
    pub fn target(self: &Arc<Self>, peer: &Arc<MeshPeer>, protocol: BackendProtocol) -> Arc<MeshTarget> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.get(self, peer, protocol)
    }

    /// It is not in the configuration any more: its connections end as at a drain.
    pub(super) fn close(&self) {
        let reason = format!("the identity {} is not in the configuration any more", self.name);
        self.ledger.close(&reason.into(), self.identity.clock().now());
    }
}

/// The identities of one configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct MeshIdentities(Arc<BTreeMap<IdentityName, Arc<LiveIdentity>>>);

impl MeshIdentities {
    /// The identity of that name; none if it does not run.
    pub fn get(&self, name: &IdentityName) -> Option<&Arc<LiveIdentity>> {
        self.0.get(name)
    }

    /// The identities of a snapshot that nobody serves (`explain`): configurations can be made of them, no handshake.
    pub fn dormant(snapshot: &Snapshot) -> Self {
        let identities = snapshot.identities.iter().map(|(name, spec)| {
            let (identity, _) = Identity::new(name.as_str(), spec.profile, Clock::system());
            LiveIdentity::new(name, identity)
        });
        identities.collect()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<LiveIdentity>> {
        self.0.values()
    }
}

impl FromIterator<Arc<LiveIdentity>> for MeshIdentities {
    fn from_iter<I: IntoIterator<Item = Arc<LiveIdentity>>>(identities: I) -> Self {
        Self(Arc::new(identities.into_iter().map(|live| (live.name.clone(), live)).collect()))
    }
}
