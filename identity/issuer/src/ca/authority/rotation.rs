//! Rotation by a person's word, and who must know of a root before it signs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::{Authority, AuthorityError, lock};
use crate::ca::files::fingerprints;
use crate::ca::line::{Phase, Step};
use crate::ca::lines::Due;
use crate::ca::root;

/// Whether the old root stays believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overlap {
    /// The new root signs once everybody knows it, and the old one stays in the bundle.
    Keep,
    /// The new root signs at once and the old one is believed no more: for a root whose key is lost to others. Every
    /// SVID under the old one fails until its holder has a new one.
    Force,
}

/// A rotation that has begun.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rotation {
    /// SHA-256 of the root that signed so far.
    pub old: String,
    /// SHA-256 of the root that is to sign.
    pub new: String,
    /// Where the new one is.
    pub phase: Phase,
}

/// Why no rotation began.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// One is under way.
    #[error("a rotation from root {old} to root {new} is under way")]
    UnderWay {
        /// SHA-256 of the root that signs.
        old: String,
        /// SHA-256 of the root that is to sign.
        new: String,
    },
    /// The CA is in files.
    #[error("the CA is in files: publish both roots in the file of roots, then replace certificate and key")]
    Files,
    /// The CA is above us.
    #[error("the root is the authority's above us, and is rotated there")]
    Upstream,
    /// It could not be done.
    #[error(transparent)]
    Failed(#[from] AuthorityError),
}

/// Who must have a bundle before its new root signs.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next: u64,
    /// The sequence that each has, by its number.
    held: BTreeMap<u64, (String, u64)>,
}

impl Waiting {
    /// Whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether there is anybody, and all of them have that bundle or a later one.
    pub(crate) fn all_have(&self, sequence: u64) -> bool {
        !self.held.is_empty() && self.held.values().all(|(_, held)| *held >= sequence)
    }
}

/// A consumer of the bundle that is waited for: dropped, it no longer is.
#[derive(Debug)]
pub struct Acknowledger {
    number: u64,
    waiting: Arc<Mutex<Waiting>>,
    authority: Arc<Authority>,
}

impl Acknowledger {
    /// Says that this consumer verifies by the bundle of that sequence.
    pub fn acknowledge(&self, sequence: u64) {
        if let Some((_, held)) = lock(&self.waiting).held.get_mut(&self.number) {
            *held = sequence.max(*held);
        }
        self.authority.wake.notify_one();
    }
}

impl Drop for Acknowledger {
    fn drop(&mut self) {
        lock(&self.waiting).held.remove(&self.number);
        self.authority.wake.notify_one();
    }
}

impl Authority {
    /// Registers a consumer of the bundle.
    pub(crate) fn acknowledger(self: &Arc<Self>, name: &str) -> Acknowledger {
        let mut waiting = lock(&self.waiting);
        let number = waiting.next;
        waiting.next += 1;
        waiting.held.insert(number, (name.to_owned(), 0));
        Acknowledger { number, waiting: self.waiting.clone(), authority: self.clone() }
    }

    /// Begins a rotation.
    ///
    /// # Errors
    /// [`RotationError`].
    pub(crate) async fn rotate(&self, overlap: Overlap) -> Result<Rotation, RotationError> {
        if self.lengths.root.is_none() {
            return self.rotate_external(overlap).await;
        }
        let rotation = match overlap {
            Overlap::Keep => self.rotate_with_overlap().await?,
            Overlap::Force => self.replace_root().await?,
        };
        self.tick().await?;
        self.wake.notify_one();
        // Only now is it known how far the new one came.
        let phase = self
            .inner
            .lock()
            .await
            .lines
            .roots
            .slots
            .iter()
            .find_map(|slot| (*slot.item.fingerprint == *rotation.new).then_some(slot.phase));
        Ok(Rotation { phase: phase.unwrap_or(rotation.phase), ..rotation })
    }

    async fn rotate_with_overlap(&self) -> Result<Rotation, RotationError> {
        let mut inner = self.inner.lock().await;
        let old =
            inner.lines.roots.active().map(|slot| slot.item.fingerprint.to_string()).unwrap_or_default();
        if let Some(next) = inner.lines.roots.next()
            && next.hurry
        {
            return Err(RotationError::UnderWay { old, new: next.item.fingerprint.to_string() });
        }
        let mut lines = inner.lines.clone();
        if lines.roots.next().is_none() {
            let known = self.known(&lines);
            lines
                .take(Due::Root(Step::Prepare), &self.trust_domain, self.clock.now(), self.lengths, &known)
                .map_err(AuthorityError::from)?;
        }
        // A successor that time has brought already is the one to take.
        for slot in &mut lines.roots.slots {
            if !matches!(slot.phase, Phase::Active | Phase::Superseded) {
                slot.hurry = true;
            }
        }
        let (new, phase) = lines
            .roots
            .next()
            .map(|slot| (slot.item.fingerprint.to_string(), slot.phase))
            .ok_or_else(|| AuthorityError::State("no successor was made".to_owned()))?;
        self.commit(&mut inner, lines).await?;
        tracing::warn!(%old, %new, "Root rotation with overlap was asked for");
        Ok(Rotation { old, new, phase })
    }

    async fn replace_root(&self) -> Result<Rotation, RotationError> {
        let ttl = self.lengths.root.unwrap_or_default();
        let mut inner = self.inner.lock().await;
        let now = self.clock.now();
        let mut lines = inner.lines.clone();
        let old: Vec<_> = lines.roots.public().map(|slot| slot.item.fingerprint.to_string()).collect();
        let old = old.join(", ");
        let mut slot = root::make(&self.trust_domain, now, ttl).map_err(AuthorityError::from)?;
        slot.phase = Phase::Active;
        lines.bump(now);
        slot.sequence = lines.sequence;
        let new = slot.item.fingerprint.to_string();
        lines.roots.slots = vec![slot];
        self.commit(&mut inner, lines).await?;
        tracing::error!(%old, %new, "Root was replaced without overlap: SVIDs under the old root are believed no more");
        Ok(Rotation { old, new, phase: Phase::Active })
    }

    async fn rotate_external(&self, overlap: Overlap) -> Result<Rotation, RotationError> {
        let mut inner = self.inner.lock().await;
        let pending = if overlap == Overlap::Force { inner.pending.take() } else { None };
        let Some(pending) = pending else {
            return Err(match self.kind {
                crate::settings::CaKind::Upstream { .. } => RotationError::Upstream,
                _ => RotationError::Files,
            });
        };
        let old = inner.external.as_ref().map(|external| fingerprints(&external.roots)).unwrap_or_default();
        let new = fingerprints(&pending.roots);
        self.take_external(&mut inner, pending).await?;
        tracing::error!(%old, %new, "Roots were replaced without overlap: SVIDs under the old roots are believed no more");
        Ok(Rotation { old, new, phase: Phase::Active })
    }
}
