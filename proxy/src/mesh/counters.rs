//! What an identity's connections count. Written when one is refused or ended, never per request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::telemetry::metrics::{Counter, Gauge};

/// Which end of a connection is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Side {
    /// The peer has dialled us.
    Downstream,
    /// We have dialled the peer.
    Upstream,
}

impl Side {
    /// As the `side` label spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        }
    }
}

/// How a live connection was ended by its identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Ended {
    /// What was under way could end.
    Drained,
    /// At once.
    Cut,
}

impl Ended {
    /// As the `how` label spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Cut => "cut",
        }
    }
}

/// Counters of one identity. Reasons are words of this program, so the series are bounded; peers are no labels.
#[derive(Debug, Default)]
pub struct MeshCounters {
    /// Connections that clients made.
    pub downstream: Counter,
    /// Connections made to endpoints.
    pub upstream: Counter,
    /// Connections open, both sides.
    pub active: Gauge,
    refused: Mutex<BTreeMap<(Side, &'static str), u64>>,
    ended: Mutex<BTreeMap<(Side, Ended, &'static str), u64>>,
}

impl MeshCounters {
    /// Counts a peer that was not let in, or not dialled.
    pub fn refuse(&self, side: Side, reason: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry((side, reason)).or_default() += 1;
    }

    /// Counts a live connection that is ended before its time.
    pub(super) fn end(&self, side: Side, how: Ended, reason: &'static str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended.entry((side, how, reason)).or_default() += 1;
    }

    pub(super) fn connected(&self, side: Side) {
        match side {
            Side::Downstream => self.downstream.inc(),
            Side::Upstream => self.upstream.inc(),
        }
        self.active.inc();
    }

    /// Refusals by side and reason.
    pub fn refused(&self) -> Vec<((Side, &'static str), u64)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().map(|(key, count)| (*key, *count)).collect()
    }

    /// Ended connections by side, manner and reason.
    pub fn ended(&self) -> Vec<((Side, Ended, &'static str), u64)> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().map(|(key, count)| (*key, *count)).collect()
    }
}
