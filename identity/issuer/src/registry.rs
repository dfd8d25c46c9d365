//! What the issuer was last told: registrations and other trust domains, and the bundles of all of them together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use identity::federation::Federation;
use identity::{Clock, SpiffeId, TrustBundle, TrustBundles, TrustDomain};
use tokio::sync::watch;

use crate::settings::{Configuration, Registration};

/// What the issuer was last told.
#[derive(Debug)]
pub(crate) struct Registry {
    trust_domain: TrustDomain,
    configuration: ArcSwap<Configuration>,
    federation: Federation,
    /// Ticks when registrations change.
    changed: watch::Sender<()>,
    bundles: watch::Sender<TrustBundles>,
}

/// What is granted to an ID beyond the ID.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Grant {
    pub(crate) dns_names: Vec<String>,
    /// The longest life; none: the issuer's.
    pub(crate) ttl: Option<Duration>,
}

impl Registry {
    pub(crate) fn new(trust_domain: TrustDomain, clock: Clock) -> Self {
        Self {
            trust_domain,
            configuration: ArcSwap::default(),
            federation: Federation::new(clock),
            changed: watch::Sender::new(()),
            bundles: watch::Sender::new(TrustBundles::default()),
        }
    }

    /// Takes the whole truth over. Our own trust domain is never another's.
    pub(crate) fn configure(&self, mut configuration: Configuration) {
        configuration.federated.retain(|name, _| {
            let own = name.as_str() == self.trust_domain.as_str();
            if own {
                tracing::warn!(trust_domain = %self.trust_domain, "Our own trust domain cannot be federated with");
            }
            !own
        });
        configuration.registrations.retain(|name, registration| {
            let ours = registration.spiffe_id.trust_domain() == &self.trust_domain
                && !registration.spiffe_id.path().is_empty();
            if !ours {
                tracing::warn!(registration = %name, id = %registration.spiffe_id, "Registration is of another trust domain");
            }
            ours
        });
        self.federation.configure(&configuration.federated);
        self.configuration.store(Arc::new(configuration));
        self.changed.send_replace(());
    }

    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.configuration.load_full()
    }

    pub(crate) fn registration(&self, name: &str) -> Option<Registration> {
        self.configuration.load().registrations.get(name).cloned()
    }

    /// What the registrations of an ID grant to it; of several, the first by name.
    pub(crate) fn grant(&self, id: &SpiffeId) -> Grant {
        let configuration = self.configuration.load();
        let found = configuration.registrations.values().find(|registration| registration.spiffe_id == *id);
        found.map(|found| Grant { dns_names: found.dns_names.clone(), ttl: found.ttl }).unwrap_or_default()
    }

    /// Ticks when registrations change.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Our bundle and those of other trust domains.
    pub(crate) fn bundles(&self) -> watch::Receiver<TrustBundles> {
        self.bundles.subscribe()
    }

    /// Shows the bundles as they are now.
    pub(crate) fn merge(&self, own: &Arc<TrustBundle>, federated: &TrustBundles) {
        let mut all: BTreeMap<_, _> = federated.0.clone();
        all.insert(self.trust_domain.clone(), own.clone());
        let all = TrustBundles(all);
        self.bundles.send_if_modified(|held| {
            let changed = *held != all;
            *held = all;
            changed
        });
    }

    /// Shows our own bundle as it is now.
    pub(crate) fn merge_own(&self, own: &Arc<TrustBundle>) {
        let federated = self.federation.bundles().borrow().clone();
        self.merge(own, &federated);
    }

    /// Keeps the bundles together for as long as it runs.
    pub(crate) async fn run(self: Arc<Self>, mut own: watch::Receiver<Arc<TrustBundle>>) {
        let mut federated = self.federation.bundles();
        loop {
            let (ours, others) = (own.borrow_and_update().clone(), federated.borrow_and_update().clone());
            self.merge(&ours, &others);
            let ended = tokio::select! {
                changed = own.changed() => changed.is_err(),
                changed = federated.changed() => changed.is_err(),
            };
            if ended {
                return;
            }
        }
    }
}
