//! Both lines with what is journaled beside them, and how a step of the machine is taken.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::TrustDomain;
use rustls_pki_types::CertificateDer;

use super::journal::{Record, StoredKey, StoredRoot, StoredToken};
use super::jwt::{self, JwtSigner};
use super::key::{KeyError, MemoryKey};
use super::line::{Facts, Line, Phase, Slot, Step, seconds, unix};
use super::root::{self, Root};

/// All that is journaled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Empty where the CA is not our own.
    pub(crate) roots: Line<Root>,
    pub(crate) jwt: Line<JwtSigner>,
    /// Of the bundle; grows with each change.
    pub(crate) sequence: u64,
    /// See [`Facts::stragglers`].
    pub(crate) stragglers: u64,
    pub(crate) tokens: BTreeMap<String, StoredToken>,
}

/// Lives of roots and keys; none: that line is not ours to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) root: Option<Duration>,
    pub(crate) jwt: Duration,
    /// The longest life of what they sign.
    pub(crate) longest: Duration,
}

/// What must be told to the machine about each line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) roots: Facts,
    pub(crate) jwt: Facts,
    /// The last expiry of what was handed out by now.
    pub(crate) handed: u64,
}

/// One step, of one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Root(Step),
    Jwt(Step),
}

impl Lines {
    pub(crate) fn due(&self, now: SystemTime, lengths: Lengths, known: &Known) -> Option<Due> {
        let root = lengths.root.and_then(|_| self.roots.due(now, &known.roots)).map(Due::Root);
        root.or_else(|| self.jwt.due(now, &known.jwt).map(Due::Jwt))
    }

    pub(crate) fn wake_at(&self, lengths: Lengths, known: &Known) -> Option<SystemTime> {
        let root = lengths.root.and_then(|_| self.roots.wake_at(&known.roots));
        [root, self.jwt.wake_at(&known.jwt)].into_iter().flatten().min()
    }

    /// Takes a step. The caller journals the result before it shows it.
    ///
    /// # Errors
    /// A key could not be made.
    pub(crate) fn take(
        &mut self,
        due: Due,
        trust_domain: &TrustDomain,
        now: SystemTime,
        lengths: Lengths,
        known: &Known,
    ) -> Result<(), KeyError> {
        match due {
            Due::Root(Step::Prepare) => {
                let ttl = lengths.root.unwrap_or_default();
                self.roots.slots.push(root::make(trust_domain, now, ttl)?);
            }
            Due::Jwt(Step::Prepare) => self.jwt.slots.push(jwt::make(now, lengths.jwt)?),
            Due::Root(Step::Publish) => {
                self.stragglers = known.handed;
                self.bump(now);
                publish(&mut self.roots, now, self.sequence);
            }
            Due::Jwt(Step::Publish) => {
                self.bump(now);
                publish(&mut self.jwt, now, self.sequence);
            }
            Due::Root(Step::Acknowledge) => self.roots.advance(Phase::Acknowledged),
            Due::Jwt(Step::Acknowledge) => self.jwt.advance(Phase::Acknowledged),
            Due::Root(Step::Activate) => self.roots.activate(now, lengths.longest),
            Due::Jwt(Step::Activate) => self.jwt.activate(now, lengths.longest),
            Due::Root(Step::Retire(place)) => {
                self.bump(now);
                retire(&mut self.roots, place);
            }
            Due::Jwt(Step::Retire(place)) => {
                self.bump(now);
                retire(&mut self.jwt, place);
            }
        }
        Ok(())
    }

    /// The bundle changes: its sequence grows. It begins at the time, so that it also grows over restarts without a
    /// journal.
    pub(crate) fn bump(&mut self, now: SystemTime) {
        self.sequence = (self.sequence + 1).max(unix(now));
    }

    /// As it is written.
    pub(crate) fn to_record(&self, trust_domain: &TrustDomain) -> Record {
        Record {
            trust_domain: trust_domain.as_str().to_owned(),
            sequence: self.sequence,
            stragglers: self.stragglers,
            roots: self.roots.slots.iter().map(stored_root).collect(),
            jwt: self.jwt.slots.iter().map(stored_key).collect(),
            tokens: self.tokens.clone(),
        }
    }

    /// As it was written.
    ///
    /// # Errors
    /// A certificate or key in it is broken.
    pub(crate) fn from_record(record: &Record) -> Result<Self, String> {
        let mut lines = Self {
            sequence: record.sequence,
            stragglers: record.stragglers,
            tokens: record.tokens.clone(),
            ..Self::default()
        };
        for stored in &record.roots {
            let der = STANDARD.decode(&stored.certificate).map_err(|_| "a root is not base64")?;
            let key = MemoryKey::from_pem(&stored.key).map_err(|_| "a root's key cannot be read")?;
            let root = Root::new(CertificateDer::from(der), key);
            super::signer::Signer::new(root.certificate.clone(), Vec::new(), root.key.clone())
                .map_err(|error| format!("a root cannot sign: {error}"))?;
            lines.roots.slots.push(Slot {
                item: root,
                phase: stored.phase,
                not_before: seconds(stored.not_before),
                not_after: seconds(stored.not_after),
                hurry: stored.hurry,
                sequence: stored.sequence,
                retire_at: stored.retire_at,
            });
        }
        for stored in &record.jwt {
            let key = MemoryKey::from_pem(&stored.key).map_err(|_| "a JWT key cannot be read")?;
            lines.jwt.slots.push(Slot {
                item: JwtSigner { kid: stored.kid.as_str().into(), key: key.into() },
                phase: stored.phase,
                not_before: seconds(stored.not_before),
                not_after: seconds(stored.not_after),
                hurry: stored.hurry,
                sequence: stored.sequence,
                retire_at: stored.retire_at,
            });
        }
        Ok(lines)
    }
}

fn publish<T>(line: &mut Line<T>, now: SystemTime, sequence: u64) {
    if let Some(next) = line.slots.iter_mut().find(|slot| slot.phase == Phase::Prepared) {
        next.phase = Phase::Published { since: unix(now) };
        next.sequence = sequence;
    }
}

fn retire<T>(line: &mut Line<T>, place: usize) {
    if place < line.slots.len() {
        line.slots.remove(place);
    }
}

fn stored_root(slot: &Slot<Root>) -> StoredRoot {
    StoredRoot {
        phase: slot.phase,
        not_before: unix(slot.not_before),
        not_after: unix(slot.not_after),
        hurry: slot.hurry,
        sequence: slot.sequence,
        retire_at: slot.retire_at,
        certificate: STANDARD.encode(&slot.item.certificate),
        key: slot.item.key.to_pem().to_string(),
    }
}

fn stored_key(slot: &Slot<JwtSigner>) -> StoredKey {
    StoredKey {
        phase: slot.phase,
        not_before: unix(slot.not_before),
        not_after: unix(slot.not_after),
        hurry: slot.hurry,
        sequence: slot.sequence,
        retire_at: slot.retire_at,
        kid: slot.item.kid.to_string(),
        key: slot.item.key.to_pem().to_string(),
    }
}
