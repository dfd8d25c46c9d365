//! A line of successive roots (or JWT keys): the rotation with overlap, as a pure state machine.
//!
//! ```text
//! Prepared → Published → Acknowledged → Active → Superseded → (gone)
//!  on disk    in bundle   all know it    signs    in bundle until 24 h after expiry
//! ```
//! A step is written to the journal before it shows. Nothing here looks at a clock or a disk.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Where a root is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Made and on disk, and nobody knows of it.
    Prepared,
    /// In the bundle since then; does not sign.
    Published {
        /// Seconds since 1970.
        since: u64,
    },
    /// Whoever verifies knows it.
    Acknowledged,
    /// Signs.
    Active,
    /// Signs no more; stays in the bundle for what it signed.
    Superseded,
}

impl Phase {
    /// Whether it is in the bundle.
    pub fn is_public(self) -> bool {
        self != Self::Prepared
    }
}

/// A root, or a JWT key, and where it is in its life.
#[derive(Clone, Debug)]
pub(crate) struct Slot<T> {
    pub(crate) item: T,
    pub(crate) phase: Phase,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// Somebody asked for it: it becomes active as soon as it may, not at 5/6 of its predecessor's life.
    pub(crate) hurry: bool,
    /// Sequence of the bundle in which it appeared; 0 before.
    pub(crate) sequence: u64,
    /// When nothing that it signed can hold any more, in seconds since 1970: set where somebody asked for its end.
    pub(crate) retire_at: Option<u64>,
}

/// What the machine does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Make a successor.
    Prepare,
    /// Put the prepared one into the bundle.
    Publish,
    /// Note that whoever verifies knows the published one.
    Acknowledge,
    /// Let the acknowledged one sign.
    Activate,
    /// Take the one at this place out of the bundle.
    Retire(usize),
}

/// What the machine must be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// Everybody who registered for it has acknowledged the published one.
    pub(crate) acknowledged: bool,
    /// How long after publication nobody can still be without it: some refresh hints where others fetch the bundle.
    pub(crate) hints: Duration,
    /// When the last certificate expires that was handed out with the bundle as it was before publication, by a
    /// protocol that tells roots only together with certificates.
    pub(crate) stragglers: SystemTime,
}

/// The slots, oldest first. At most one is before `Active`, at most one is `Active`.
#[derive(Clone, Debug)]
pub(crate) struct Line<T> {
    pub(crate) slots: Vec<Slot<T>>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T> Line<T> {
    pub(crate) fn active(&self) -> Option<&Slot<T>> {
        self.slots.iter().find(|slot| slot.phase == Phase::Active)
    }

    /// The one that is to be active next.
    pub(crate) fn next(&self) -> Option<&Slot<T>> {
        self.slots.iter().find(|slot| !matches!(slot.phase, Phase::Active | Phase::Superseded))
    }

    pub(crate) fn public(&self) -> impl Iterator<Item = &Slot<T>> {
        self.slots.iter().filter(|slot| slot.phase.is_public())
    }

    /// What is due now; none: nothing.
    pub(crate) fn due(&self, now: SystemTime, facts: &Facts) -> Option<Step> {
        let gone = |slot: &Slot<T>| slot.leaves_at().is_some_and(|at| now >= at);
        if let Some(place) = self.slots.iter().position(gone) {
            return Some(Step::Retire(place));
        }
        let Some(next) = self.next() else {
            return self.prepare_at().is_none_or(|at| now >= at).then_some(Step::Prepare);
        };
        match next.phase {
            Phase::Prepared => Some(Step::Publish),
            Phase::Published { since } => {
                let known = facts.acknowledged || now >= seconds(since) + facts.hints;
                let expired = self.active().is_none_or(|active| now >= active.not_after);
                ((known && now >= facts.stragglers) || expired).then_some(Step::Acknowledge)
            }
            Phase::Acknowledged => {
                self.activate_at().is_none_or(|at| next.hurry || now >= at).then_some(Step::Activate)
            }
            Phase::Active | Phase::Superseded => None,
        }
    }

    /// When to look again, if nobody asks for anything in between.
    pub(crate) fn wake_at(&self, facts: &Facts) -> Option<SystemTime> {
        let retire = self.slots.iter().filter_map(Slot::leaves_at).min();
        let advance = match self.next() {
            None => self.prepare_at(),
            Some(next) => match next.phase {
                Phase::Published { since } => {
                    let hints = seconds(since) + facts.hints;
                    let known =
                        if facts.acknowledged { facts.stragglers } else { hints.max(facts.stragglers) };
                    let expired = self.active().map_or(known, |active| active.not_after);
                    Some(known.min(expired))
                }
                Phase::Acknowledged => self.activate_at(),
                Phase::Prepared | Phase::Active | Phase::Superseded => None,
            },
        };
        [retire, advance].into_iter().flatten().min()
    }

    /// Half-way through the active one's life, as SPIRE does it.
    fn prepare_at(&self) -> Option<SystemTime> {
        self.active().map(|active| active.not_before + life(active) / 2)
    }

    /// After five sixths of the active one's life, as SPIRE does it.
    fn activate_at(&self) -> Option<SystemTime> {
        self.active().map(|active| active.not_before + life(active) / 6 * 5)
    }

    /// Lets the next one sign. `longest` is the longest life of what its predecessor signed: if somebody asked for the
    /// rotation, that one leaves the bundle when nothing of it can hold any more.
    pub(crate) fn activate(&mut self, now: SystemTime, longest: Duration) {
        let asked = self.next().is_some_and(|next| next.hurry);
        for slot in self.slots.iter_mut().filter(|slot| slot.phase == Phase::Active) {
            slot.phase = Phase::Superseded;
            slot.retire_at = asked.then(|| unix(now + longest + SLOW_CLOCKS));
        }
        self.advance(Phase::Active);
    }

    /// Moves the next one to `phase`.
    pub(crate) fn advance(&mut self, phase: Phase) {
        if let Some(next) =
            self.slots.iter_mut().find(|slot| !matches!(slot.phase, Phase::Active | Phase::Superseded))
        {
            next.phase = phase;
        }
    }
}

impl<T> Slot<T> {
    /// When it leaves the bundle; none: not yet.
    fn leaves_at(&self) -> Option<SystemTime> {
        let late = self.not_after + KEEP_AFTER_EXPIRY;
        (self.phase == Phase::Superseded).then(|| self.retire_at.map_or(late, |at| late.min(seconds(at))))
    }
}

fn life<T>(slot: &Slot<T>) -> Duration {
    slot.not_after.duration_since(slot.not_before).unwrap_or_default()
}

/// Seconds since 1970 of a time.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The time of seconds since 1970.
pub(crate) fn seconds(unix: u64) -> SystemTime {
    // Journals of a broken clock must not overflow the system's type.
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix.min(MAX_UNIX))
}

/// How long an expired root stays in the bundle, for clocks that are behind (SPIRE's number).
pub(crate) const KEEP_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// How far the clocks of those who verify may be behind.
const SLOW_CLOCKS: Duration = Duration::from_secs(60);

/// The year 9999, where X.509's times end.
const MAX_UNIX: u64 = 253_402_300_799;

#[cfg(test)]
mod tests;
