//! The authority at work: drives the lines, writes the journal before anything shows, and publishes the bundle.

mod external;
mod rotation;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use identity::{Clock, JwtKey, TrustBundle, TrustDomain};
use tokio::sync::{Notify, watch};
use tracing::{error, info};

use super::files::{External, FilesError};
use super::journal::{Journal, JournalError, StoredToken};
use super::jwt::JwtSigner;
use super::key::{CaKey as _, KeyError};
use super::line::{Facts, seconds, unix};
use super::lines::{Due, Known, Lengths, Lines};
use super::signer::Signer;
use crate::settings::{CaKind, IssuerSettings};
use crate::status::{KeyStatus, RootStatus};

use rotation::Waiting;
pub use rotation::{Acknowledger, Overlap, Rotation, RotationError};

/// Holds what signs and what is believed.
#[derive(Debug)]
pub(crate) struct Authority {
    trust_domain: TrustDomain,
    clock: Clock,
    kind: CaKind,
    lengths: Lengths,
    refresh_hint: Duration,
    inner: tokio::sync::Mutex<Inner>,
    current: ArcSwap<Current>,
    bundle: watch::Sender<Arc<TrustBundle>>,
    wake: Notify,
    waiting: Arc<Mutex<Waiting>>,
    /// The last expiry (seconds since 1970) among certificates that were handed out together with roots.
    handed: AtomicU64,
    /// When somebody last fetched the bundle, in seconds since 1970.
    fetched: AtomicU64,
}

/// What changes, one change at a time.
#[derive(Debug)]
struct Inner {
    lines: Lines,
    journal: Option<Arc<Journal>>,
    external: Option<External>,
    /// Read from files, and refused because it has no root in common with what is in use.
    pending: Option<External>,
}

/// What signs and what is believed, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Current {
    pub(crate) signer: Option<Arc<Signer>>,
    pub(crate) jwt: Option<JwtSigner>,
    pub(crate) bundle: Arc<TrustBundle>,
    pub(crate) roots: Vec<RootStatus>,
    pub(crate) keys: Vec<KeyStatus>,
    /// Bootstrap tokens that were not used yet, by SHA-256.
    pub(crate) tokens: BTreeMap<String, StoredToken>,
}

/// Why there is no authority, or why it could not change.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// State on disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Files of a CA.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The authority above.
    #[error("{0}")]
    Upstream(String),
    /// The state on disk holds a certificate or key that is broken.
    #[error("the state on disk cannot be used: {0}")]
    State(String),
}

impl Authority {
    /// Reads what is known, and makes what is missing: afterwards it can sign.
    ///
    /// # Errors
    /// The state is not to be trusted, or nothing can sign.
    pub(crate) async fn start(settings: &IssuerSettings) -> Result<Arc<Self>, AuthorityError> {
        let (journal, lines) = match settings.state.clone() {
            Some(folder) => {
                let trust_domain = settings.trust_domain.clone();
                let (journal, lines) = blocking(move || open(&folder, &trust_domain)).await?;
                (Some(Arc::new(journal)), lines)
            }
            None => (None, None),
        };
        let now = settings.clock.now();
        // Whom an earlier process gave certificates is not known: the longest is assumed.
        let known_before = lines.is_some() && settings.istio_ca.is_some();
        let handed = if known_before { unix(now + settings.lives.max_svid) } else { 0 };
        // Nor who fetched the bundle from it: somebody is assumed.
        let fetched = if lines.is_some() && settings.bundle.is_some() { unix(now) } else { 0 };
        let root = match settings.ca {
            CaKind::SelfSigned { ttl } => Some(ttl),
            CaKind::Files(_) | CaKind::Held { .. } | CaKind::Upstream { .. } => None,
        };
        let authority = Arc::new(Self {
            trust_domain: settings.trust_domain.clone(),
            clock: settings.clock.clone(),
            kind: settings.ca.clone(),
            lengths: Lengths {
                root,
                jwt: root.unwrap_or(JWT_KEY_LIFE),
                longest: settings.lives.max_svid.max(settings.lives.jwt_svid),
            },
            refresh_hint: settings.refresh_hint,
            inner: tokio::sync::Mutex::new(Inner {
                lines: lines.unwrap_or_default(),
                journal,
                external: None,
                pending: None,
            }),
            current: ArcSwap::from_pointee(Current::default()),
            bundle: watch::Sender::new(Arc::default()),
            wake: Notify::new(),
            waiting: Arc::default(),
            handed: AtomicU64::new(handed),
            fetched: AtomicU64::new(fetched),
        });
        authority.refresh_external().await?;
        authority.tick().await?;
        authority.show(&*authority.inner.lock().await);
        Ok(authority)
    }

    /// What signs and what is believed now.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Current>> {
        self.current.load()
    }

    /// The own trust domain's bundle, whenever it changes.
    pub(crate) fn bundle(&self) -> watch::Receiver<Arc<TrustBundle>> {
        self.bundle.subscribe()
    }

    /// The time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Changes the bootstrap tokens, on disk first.
    ///
    /// # Errors
    /// What `change` says, or the journal cannot be written.
    pub(crate) async fn change_tokens(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, StoredToken>) -> Result<(), AuthorityError>,
    ) -> Result<(), AuthorityError> {
        let mut inner = self.inner.lock().await;
        let mut lines = inner.lines.clone();
        change(&mut lines.tokens)?;
        if lines.tokens == inner.lines.tokens {
            return Ok(());
        }
        self.commit(&mut inner, lines).await
    }

    /// Notes that a certificate goes out by a protocol that tells roots only together with certificates. To be called
    /// before the roots for the answer are read: then either they are the new ones, or the rotation waits.
    pub(crate) fn note_handed_out(&self, not_after: SystemTime) {
        self.handed.fetch_max(unix(not_after), Ordering::SeqCst);
    }

    /// Notes that somebody fetched the bundle: it is waited for from now on.
    pub(crate) fn note_fetched(&self) {
        self.fetched.fetch_max(unix(self.clock.now()), Ordering::SeqCst);
    }

    /// Rotates as time passes, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        // A file that stays broken is told once, not every two seconds.
        let mut told = String::new();
        loop {
            let wake_at = {
                let inner = self.inner.lock().await;
                inner.lines.wake_at(self.lengths, &self.known(&inner.lines))
            };
            let external = self.external_change();
            tokio::select! {
                () = self.wake.notified() => {}
                () = external => {}
                () = sleep(&self.clock, wake_at) => {}
            }
            match self.refresh_external().await {
                Ok(()) => told.clear(),
                Err(failure) if failure.to_string() == told => {}
                Err(failure) => {
                    error!(error = %failure, "CA is not taken over; the one in use goes on");
                    told = failure.to_string();
                }
            }
            if let Err(failure) = self.tick().await {
                error!(error = %failure, "Rotation step failed; it is tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Takes every step that is due.
    pub(crate) async fn tick(&self) -> Result<(), AuthorityError> {
        let mut inner = self.inner.lock().await;
        loop {
            let now = self.clock.now();
            let known = self.known(&inner.lines);
            let Some(due) = inner.lines.due(now, self.lengths, &known) else { return Ok(()) };
            let mut lines = inner.lines.clone();
            lines.take(due, &self.trust_domain, now, self.lengths, &known)?;
            self.commit(&mut inner, lines).await?;
            if matches!(due, Due::Root(super::line::Step::Publish)) {
                // What went out between the count and the publication counts too.
                inner.lines.stragglers = self.handed.load(Ordering::SeqCst);
            }
            info!(step = ?due, sequence = inner.lines.sequence, "CA rotation went on");
        }
    }

    /// Writes what changed, and then shows it.
    async fn commit(&self, inner: &mut Inner, lines: Lines) -> Result<(), AuthorityError> {
        if let Some(journal) = inner.journal.clone() {
            let record = lines.to_record(&self.trust_domain);
            blocking(move || journal.write(&record).map_err(AuthorityError::from)).await?;
        }
        inner.lines = lines;
        self.show(inner);
        Ok(())
    }

    fn show(&self, inner: &Inner) {
        let current = self.current_of(inner);
        let bundle = current.bundle.clone();
        self.current.store(Arc::new(current));
        self.bundle.send_if_modified(|held| {
            let changed = **held != *bundle;
            *held = bundle;
            changed
        });
    }

    fn current_of(&self, inner: &Inner) -> Current {
        let lines = &inner.lines;
        let active = lines.roots.active();
        let (signer, x509) = match &inner.external {
            Some(external) => (Some(external.signer.clone()), external.roots.clone()),
            None => {
                let signer = active.and_then(|slot| {
                    let root = &slot.item;
                    Signer::new(root.certificate.clone(), Vec::new(), root.key.clone())
                        .inspect_err(|error| error!(%error, "The active root cannot sign"))
                        .ok()
                });
                (
                    signer.map(Arc::new),
                    lines.roots.public().map(|slot| slot.item.certificate.clone()).collect(),
                )
            }
        };
        let jwt = lines.jwt.public().filter_map(|slot| {
            JwtKey::from_spki(&slot.item.kid, slot.item.key.public())
                .inspect_err(|error| error!(%error, "A JWT key cannot be published"))
                .ok()
        });
        let bundle = TrustBundle {
            x509,
            jwt: jwt.collect(),
            sequence: Some(lines.sequence),
            refresh_hint: Some(self.refresh_hint),
        };
        Current {
            signer,
            jwt: lines.jwt.active().map(|slot| slot.item.clone()),
            bundle: Arc::new(bundle),
            roots: RootStatus::of(lines, inner.external.as_ref()),
            keys: lines.jwt.slots.iter().map(KeyStatus::of).collect(),
            tokens: lines.tokens.clone(),
        }
    }

    fn known(&self, lines: &Lines) -> Known {
        let hints = self.refresh_hint.saturating_mul(HINTS_BEFORE_USE);
        // Streams and parts of this process are told at once. Only those who fetch, and those who acknowledge and have
        // not, need the hints; without either, nobody is waited for that is not there.
        let fetched = seconds(self.fetched.load(Ordering::SeqCst));
        let somebody = !lock(&self.waiting).is_empty() || self.clock.now() < fetched + hints * 2;
        let hints = if somebody { hints } else { TOLD_AT_ONCE.min(hints) };
        let facts = |sequence: Option<u64>, stragglers| Facts {
            acknowledged: sequence.is_some_and(|sequence| lock(&self.waiting).all_have(sequence)),
            hints,
            stragglers,
        };
        let (root, key) = (lines.roots.next(), lines.jwt.next());
        Known {
            roots: facts(root.map(|slot| slot.sequence), seconds(lines.stragglers)),
            jwt: facts(key.map(|slot| slot.sequence), SystemTime::UNIX_EPOCH),
            handed: self.handed.load(Ordering::SeqCst),
        }
    }
}

impl Current {
    /// SHA-256 of the signing certificates whose leaves need no replacement yet.
    pub(crate) fn signers(&self) -> Vec<Arc<str>> {
        let ours = self
            .roots
            .iter()
            .filter(|root| root.phase.is_some())
            .map(|root| root.fingerprint.as_str().into());
        ours.chain(self.signer.iter().map(|signer| signer.fingerprint().clone())).collect()
    }
}

fn open(
    folder: &std::path::Path,
    trust_domain: &TrustDomain,
) -> Result<(Journal, Option<Lines>), AuthorityError> {
    let journal = Journal::open(folder)?;
    let lines = match journal.read(trust_domain.as_str())? {
        Some(record) => Some(Lines::from_record(&record).map_err(AuthorityError::State)?),
        None => None,
    };
    Ok((journal, lines))
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuthorityError> + Send + 'static,
) -> Result<T, AuthorityError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(AuthorityError::State(format!("the work was given up: {error}"))),
    }
}

async fn sleep(clock: &Clock, until: Option<SystemTime>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is valid after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SPIFFE Trust Domain and Bundle §5.1.3: publish three to five refresh hints before use.
const HINTS_BEFORE_USE: u32 = 5;
/// How long those take who are told at once.
const TOLD_AT_ONCE: Duration = Duration::from_secs(10);
/// Life of a JWT key where the CA is not ours.
const JWT_KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Between two attempts at a step that failed.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
