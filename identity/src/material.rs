//! What an identity is made of at a moment, who publishes it and who uses it.
//!
//! A publisher (a source at work) replaces the [`Material`] as a whole; handshakes load it once. A failed renewal leaves
//! the last good one until it ends; then there is none, and everything that needs it fails closed.

mod counters;
mod life;
mod status;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use model::PeerProfile;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tracing::{info, warn};

pub use counters::{Counters, IdentityMetrics};
pub use status::{BundleStatus, IdentityStatus};

use crate::bundle::TrustBundles;
use crate::clock::Clock;
use crate::id::WorkloadId;
use crate::svid::X509Svid;
use crate::verify::{CrlError, PeerFacts, Revocations, Role, Trust, Verified, VerifyError};
use status::Record;

/// One generation: what we show, and whom we believe.
#[derive(Clone, Debug)]
pub struct Material {
    /// What we show.
    pub svid: X509Svid,
    /// Whom we believe, by trust domain.
    pub bundles: TrustBundles,
    /// Who is revoked.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// Counts up with every change.
    pub generation: u64,
}

/// A workload identity of the gateway: a handle for whoever shows it or judges peers by it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Shared>);

/// The other end: what a source publishes through. One per identity.
#[derive(Debug)]
pub struct Publisher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    profile: PeerProfile,
    clock: Clock,
    current: ArcSwapOption<Current>,
    changed: watch::Sender<u64>,
    record: Mutex<Record>,
    counters: Counters,
}

/// A generation with all that is expensive prebuilt.
#[derive(Debug)]
struct Current {
    material: Arc<Material>,
    trust: Trust,
}

/// Why material was not taken. The last good one stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// X32: another name than the one that was asked for.
    #[error("the SVID is of {found}, not of {expected}")]
    WrongId {
        /// Whom we are.
        expected: WorkloadId,
        /// Whom it names.
        found: WorkloadId,
    },
    /// X32: it does not verify by its own trust domain's bundle, now.
    #[error("the SVID does not verify by the bundles that came with it: {0}")]
    Untrusted(#[from] VerifyError),
    /// A revocation list that cannot be read.
    #[error(transparent)]
    Crl(#[from] CrlError),
}

impl Identity {
    /// An identity without material yet. `name` is for logs, metrics and errors. On a tokio runtime it starts a timer
    /// that warns before the end of the SVID and tells when it has come.
    pub fn new(name: &str, profile: PeerProfile, clock: Clock) -> (Self, Publisher) {
        let shared = Arc::new(Shared {
            name: name.into(),
            profile,
            clock,
            current: ArcSwapOption::empty(),
            changed: watch::Sender::new(0),
            record: Mutex::default(),
            counters: Counters::default(),
        });
        life::watch(&shared);
        (Self(Arc::clone(&shared)), Publisher(shared))
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// By which rules peers are judged.
    pub fn profile(&self) -> PeerProfile {
        self.0.profile
    }

    /// The clock that it lives by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Today's material; none: not yet, withdrawn, or the SVID has ended. Whoever needs it fails closed then.
    pub fn material(&self) -> Option<Arc<Material>> {
        self.0.current().ok().map(|current| Arc::clone(&current.material))
    }

    /// For people. No secrets.
    pub fn status(&self) -> IdentityStatus {
        self.0.status()
    }

    /// The generation; also ticks when the SVID ends.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Counters of this identity, for metrics.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Judges a peer of a live connection again, by today's bundles, revocation lists and clock.
    ///
    /// # Errors
    /// [`VerifyError`]: the connection must be closed.
    pub fn verify_again(&self, peer: &PeerFacts) -> Result<(), VerifyError> {
        self.verify(&peer.chain, Role::Any).map(|_| ())
    }

    /// What is shown in a handshake.
    pub(crate) fn certified_key(&self) -> Option<Arc<CertifiedKey>> {
        self.0.current().ok().map(|current| Arc::clone(current.material.svid.certified_key()))
    }

    /// Judges a peer in a handshake. One load of the material.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], role: Role) -> Result<Verified, VerifyError> {
        self.0.current()?.trust.verify(chain, role, self.0.profile, self.0.clock.now())
    }
}

impl Shared {
    /// The material that may be used now.
    fn current(&self) -> Result<Arc<Current>, VerifyError> {
        let not_ready = |reason: Arc<str>| VerifyError::NotReady { identity: Arc::clone(&self.name), reason };
        match self.current.load_full() {
            Some(current) if self.clock.now() < current.material.svid.not_after() => Ok(current),
            Some(_) => Err(not_ready("its SVID has ended and was not renewed".into())),
            None => Err(not_ready(self.record().absent_because())),
        }
    }

    /// A poisoned lock holds a record that is at worst half written: it is for people only.
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// Says whom every SVID must name. Without, any is taken.
    pub fn expect(&self, id: WorkloadId) {
        self.0.record().expected = Some(id);
    }

    /// Says where the material comes from, for the status.
    pub fn source(&self, text: &str) {
        self.0.record().source = text.into();
    }

    /// Replaces the material.
    ///
    /// A new SVID must name whom we are, be valid now and chain to its own trust domain's bundle (X32); else nothing is
    /// taken, and an alarm is raised. With an SVID that is in use already, bundles and lists are always taken: trust that
    /// was removed must not live on because our own chain hung on it.
    ///
    /// # Errors
    /// [`PublishError`] says why the material was not taken.
    pub fn publish(
        &self,
        svid: X509Svid,
        bundles: TrustBundles,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<(), PublishError> {
        match self.prepare(svid, bundles, crls) {
            Ok(Some((current, alarm))) => {
                self.0.record().published(alarm.map(|error| error.to_string()), self.0.clock.now());
                self.install(current);
                Ok(())
            }
            Ok(None) => {
                // What went wrong in between is over.
                self.0.record().confirmed();
                Ok(())
            }
            Err(error) => {
                warn!(identity = %self.0.name, %error, "Identity material refused");
                self.0.counters.renewal_failed();
                self.0.record().failed(error.to_string(), self.0.clock.now());
                Err(error)
            }
        }
    }

    /// Checks and prebuilds, and says what is wrong all the same; none: nothing has changed.
    fn prepare(
        &self,
        svid: X509Svid,
        bundles: TrustBundles,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Option<(Current, Option<VerifyError>)>, PublishError> {
        let held = self.0.current.load_full();
        let held = held.as_ref().map(|current| &current.material);
        let same_svid = held.is_some_and(|held| held.svid == svid);
        if same_svid && held.is_some_and(|held| held.bundles == bundles && held.crls == crls) {
            return Ok(None);
        }
        let expected = self.0.record().expected.clone();
        if let Some(expected) = expected.filter(|expected| expected != svid.id()) {
            return Err(PublishError::WrongId { expected, found: svid.id().clone() });
        }
        let mut trust = Trust::new(&bundles, Revocations::read(&crls)?);
        trust.prepare(svid.chain());
        let alarm = match trust.verify(svid.chain(), Role::Any, self.0.profile, self.0.clock.now()) {
            Ok(_) => None,
            // That others will refuse us is no reason to go on believing whom the lists revoke.
            Err(error @ VerifyError::Revoked { .. }) => Some(error),
            Err(error) if same_svid => Some(error),
            Err(error) => return Err(PublishError::Untrusted(error)),
        };
        if let Some(error) = &alarm {
            warn!(identity = %self.0.name, %error, "Own certificate is not believed any more");
        }
        let generation = self.0.changed.borrow().saturating_add(1);
        let material = Arc::new(Material { svid, bundles, crls, generation });
        Ok(Some((Current { material, trust }, alarm)))
    }

    fn install(&self, current: Current) {
        let material = Arc::clone(&current.material);
        self.0.current.store(Some(Arc::new(current)));
        self.0.counters.renewed(material.svid.not_after(), material.generation);
        self.0.changed.send_replace(material.generation);
        info!(
            identity = %self.0.name,
            id = %material.svid.id(),
            serial = material.svid.serial(),
            generation = material.generation,
            trust_domains = material.bundles.0.len(),
            "Identity material published"
        );
    }

    /// A renewal failed; the last good material stays.
    pub fn failed(&self, error: &dyn Error) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        warn!(identity = %self.0.name, error = %text, "Identity renewal failed");
        self.0.counters.renewal_failed();
        self.0.record().failed(text, self.0.clock.now());
    }

    /// Takes the material away at once: the source says that we are nobody any more.
    pub fn withdraw(&self, reason: &str) {
        warn!(identity = %self.0.name, reason, "Identity withdrawn");
        self.0.current.store(None);
        self.0.counters.withdrawn();
        self.0.record().withdrawn(reason, self.0.clock.now());
        self.0.changed.send_modify(|generation| *generation = generation.saturating_add(1));
    }

    /// Says when the next renewal is due, for the status.
    pub fn next_renewal(&self, at: SystemTime) {
        self.0.record().next_renewal = Some(at);
    }
}

/// Counts of a bundle, by trust domain.
fn bundle_status(bundles: &TrustBundles) -> BTreeMap<String, BundleStatus> {
    bundles
        .0
        .iter()
        .map(|(trust_domain, bundle)| {
            let status = BundleStatus {
                roots: bundle.x509.len(),
                jwt_keys: bundle.jwt.len(),
                sequence: bundle.sequence,
            };
            (trust_domain.to_string(), status)
        })
        .collect()
}

#[cfg(test)]
mod tests;
