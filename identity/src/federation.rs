//! Other trust domains' bundles, fetched and kept fresh (SPIFFE Federation): both profiles, the last good one kept.
//!
//! The trust domain is the one that the configuration names, never one that a document claims. A domain that is no
//! longer configured is no longer believed, at once.

mod domain;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{FederatedDomain, Roots, TrustDomainName};
use serde::Serialize;
use spiffe::TrustDomain;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::bundle::TrustBundles;
use crate::clock::Clock;
use crate::dial::Dialer;

/// Follows other trust domains' bundles. Dropping it stops all fetching.
#[derive(Debug)]
pub struct Federation {
    context: Context,
    entries: Mutex<BTreeMap<TrustDomainName, Entry>>,
}

/// What every domain's task shares.
#[derive(Clone, Debug)]
struct Context {
    bundles: Arc<watch::Sender<TrustBundles>>,
    dialer: Dialer,
    clock: Clock,
    web_roots: Roots,
}

#[derive(Debug)]
struct Entry {
    domain: Arc<FederatedDomain>,
    status: Arc<Mutex<DomainStatus>>,
    _task: Option<AbortOnDropHandle<()>>,
}

/// How it stands with one trust domain's bundle, for people.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// The object that configures it.
    pub origin: String,
    /// From where it is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Roots that are believed; none: nobody of this trust domain is.
    pub roots: usize,
    /// Keys for JWT-SVIDs.
    pub jwt_keys: usize,
    /// `spiffe_sequence` of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// When it was last fetched, in seconds since 1970; none: it is the bootstrap bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<u64>,
    /// Failures since.
    pub failures: u32,
    /// Why the last fetch failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Follows the bundles of `domains` until the [`Federation`] is dropped, on the current tokio runtime.
pub fn follow(
    domains: &BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
    clock: Clock,
) -> (Federation, watch::Receiver<TrustBundles>) {
    let federation = Federation::new(clock);
    federation.configure(domains);
    let bundles = federation.bundles();
    (federation, bundles)
}

impl Federation {
    /// Follows nobody yet.
    pub fn new(clock: Clock) -> Self {
        Self::with(clock, Dialer::default(), Roots::System)
    }

    /// With another way to connect, and other roots for `https_web`.
    pub(crate) fn with(clock: Clock, dialer: Dialer, web_roots: Roots) -> Self {
        let bundles = Arc::new(watch::Sender::new(TrustBundles::default()));
        Self { context: Context { bundles, dialer, clock, web_roots }, entries: Mutex::default() }
    }

    /// Follows these and no others. Needs a tokio runtime. A domain whose configuration is equal goes on untouched;
    /// one that is new begins with its bootstrap bundle; one that has only moved keeps what was fetched until the new
    /// place answers.
    pub fn configure(&self, domains: &BTreeMap<TrustDomainName, Arc<FederatedDomain>>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let removed: Vec<_> = entries.keys().filter(|name| !domains.contains_key(*name)).cloned().collect();
        for name in removed {
            entries.remove(&name);
            self.forget(&name);
        }
        for (name, domain) in domains {
            let before = entries.get(name);
            if before.is_some_and(|entry| entry.domain == *domain) {
                continue;
            }
            let keeps = before.is_some_and(|entry| entry.domain.bootstrap == domain.bootstrap);
            // The task of before must not publish any more when the new one begins.
            entries.remove(name);
            entries.insert(name.clone(), self.begin(name, domain, keeps));
        }
    }

    /// The bundles, by trust domain, and every change of them.
    pub fn bundles(&self) -> watch::Receiver<TrustBundles> {
        self.context.bundles.subscribe()
    }

    /// How it stands, by trust domain.
    pub fn status(&self) -> BTreeMap<TrustDomainName, DomainStatus> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(name, entry)| (name.clone(), lock(&entry.status).clone())).collect()
    }

    fn begin(&self, name: &TrustDomainName, domain: &Arc<FederatedDomain>, keeps: bool) -> Entry {
        let url = domain.endpoint.as_ref().map(|endpoint| endpoint.url.to_string());
        let status = Arc::new(Mutex::new(DomainStatus {
            origin: domain.origin.to_string(),
            url,
            ..DomainStatus::default()
        }));
        let task = match TrustDomain::new(name.as_str()) {
            Ok(trust_domain) => {
                let follower = domain::Follower::new(
                    self.context.clone(),
                    trust_domain,
                    Arc::clone(domain),
                    Arc::clone(&status),
                );
                if !keeps {
                    follower.bootstrap();
                }
                Some(AbortOnDropHandle::new(tokio::spawn(follower.run())))
            }
            Err(error) => {
                warn!(trust_domain = %name, %error, "Federated trust domain has no valid name");
                lock(&status).last_error = Some(format!("the name is no trust domain: {error}"));
                None
            }
        };
        Entry { domain: Arc::clone(domain), status, _task: task }
    }

    fn forget(&self, name: &TrustDomainName) {
        let Ok(trust_domain) = TrustDomain::new(name.as_str()) else { return };
        self.context.bundles.send_if_modified(|bundles| bundles.0.remove(&trust_domain).is_some());
    }
}

fn lock(status: &Mutex<DomainStatus>) -> std::sync::MutexGuard<'_, DomainStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
