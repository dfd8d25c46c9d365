//! Overload protection: how full the process is, and what it therefore refuses.
//!
//! The control thread samples memory and descriptors; workers read atomics. Thresholds are those of
//! reliability-security.md §1.1: at 85 % new streams are shed, at 92 % accepting stops, at 97 % idle
//! connections are closed.

mod cgroup;
mod process;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use tracing::{info, warn};

/// How full the process is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub enum Pressure {
    /// Below 85 %.
    #[default]
    Normal,
    /// New requests are answered 503 with flag `OM`.
    ShedStreams,
    /// And no connection is accepted.
    StopAccept,
    /// And idle connections are closed.
    CloseIdle,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum ShedReason {
    /// Memory or descriptors are short.
    Overload,
    /// The proxy-wide bound on connections.
    ConnectionLimit,
    /// The listener's bound on connections.
    ListenerLimit,
    /// The bound on TLS handshakes at once.
    HandshakeLimit,
}

/// What the last sample saw. Bytes and counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Usage {
    /// Memory in use.
    pub memory: u64,
    /// Memory that may be used; 0 if unknown.
    pub memory_limit: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Descriptors that may be open; 0 if unknown.
    pub descriptor_limit: u64,
}

/// The process's overload state. Share it by `Arc`.
#[derive(Debug, Default)]
pub struct Overload {
    pressure: AtomicU8,
    connections: AtomicU32,
    /// 0: no limit.
    connection_limit: AtomicU32,
    /// As configured; 0: from the system.
    memory_limit: AtomicU64,
    memory: AtomicU64,
    memory_seen_limit: AtomicU64,
    descriptors: AtomicU64,
    descriptor_limit: AtomicU64,
}

/// Counts the connections of one listener over all cores. Share it by `Arc`; keep it over configuration swaps.
#[derive(Debug, Default)]
pub struct ListenerGate {
    connections: AtomicU32,
}

/// An admitted connection; gives its place back on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    overload: Arc<Overload>,
    gate: Arc<ListenerGate>,
}

impl Overload {
    /// Nothing is known yet, so nothing is refused.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Takes over `GatewaySettings::memory_limit` and `connection_limit`; 0 is from the system.
    pub fn configure(&self, memory_limit: u64, connection_limit: u32) {
        self.memory_limit.store(memory_limit, Ordering::Relaxed);
        let usage = self.measure(Path::new("/"));
        let limit = if connection_limit > 0 { connection_limit } else { connections_that_fit(usage) };
        self.connection_limit.store(limit, Ordering::Relaxed);
    }

    /// Measures and decides. Reads files: call it from the control thread, every 250 ms or so.
    pub fn sample(&self) -> Usage {
        let usage = self.measure(Path::new("/"));
        self.decide(usage);
        usage
    }

    /// What the last sample saw.
    pub fn usage(&self) -> Usage {
        Usage {
            memory: self.memory.load(Ordering::Relaxed),
            memory_limit: self.memory_seen_limit.load(Ordering::Relaxed),
            descriptors: self.descriptors.load(Ordering::Relaxed),
            descriptor_limit: self.descriptor_limit.load(Ordering::Relaxed),
        }
    }

    /// How full the process is. One atomic load.
    pub fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::Normal,
            1 => Pressure::ShedStreams,
            2 => Pressure::StopAccept,
            _ => Pressure::CloseIdle,
        }
    }

    /// Connections over all listeners.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The bound on connections over all listeners; 0: none.
    pub fn connection_limit(&self) -> u32 {
        self.connection_limit.load(Ordering::Relaxed)
    }

    /// Admits a new connection, or says why not. `listener_limit` is `ListenerLimits::connections`, 0: none.
    ///
    /// # Errors
    /// The reason for refusing.
    pub fn admit(
        self: &Arc<Self>,
        gate: &Arc<ListenerGate>,
        listener_limit: u32,
    ) -> Result<ConnectionPermit, ShedReason> {
        if self.pressure() >= Pressure::StopAccept {
            return Err(ShedReason::Overload);
        }
        if !take(&self.connections, self.connection_limit()) {
            return Err(ShedReason::ConnectionLimit);
        }
        if !take(&gate.connections, listener_limit) {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(ShedReason::ListenerLimit);
        }
        Ok(ConnectionPermit { overload: self.clone(), gate: gate.clone() })
    }

    fn measure(&self, root: &Path) -> Usage {
        let configured = self.memory_limit.load(Ordering::Relaxed);
        let (memory, memory_limit) = process::memory(root, configured);
        let (descriptors, descriptor_limit) = process::descriptors(root);
        Usage { memory, memory_limit, descriptors, descriptor_limit }
    }

    fn decide(&self, usage: Usage) {
        self.memory.store(usage.memory, Ordering::Relaxed);
        self.memory_seen_limit.store(usage.memory_limit, Ordering::Relaxed);
        self.descriptors.store(usage.descriptors, Ordering::Relaxed);
        self.descriptor_limit.store(usage.descriptor_limit, Ordering::Relaxed);
        let fullest = per_mille(usage.memory, usage.memory_limit)
            .max(per_mille(usage.descriptors, usage.descriptor_limit));
        let before = self.pressure();
        let now = level(fullest, before);
        if now == before {
            return;
        }
        self.pressure.store(now as u8, Ordering::Relaxed);
        if now > before {
            warn!(pressure = ?now, ?usage, "Overload protection engaged");
        } else {
            info!(pressure = ?now, ?usage, "Overload pressure fell");
        }
    }
}

impl ListenerGate {
    /// Connections of the listener.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl ShedReason {
    /// Every reason, for metrics.
    pub const ALL: [Self; 4] =
        [Self::Overload, Self::ConnectionLimit, Self::ListenerLimit, Self::HandshakeLimit];

    /// As metrics and the access log's `shed_reason` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::ConnectionLimit => "connection_limit",
            Self::ListenerLimit => "listener_limit",
            Self::HandshakeLimit => "handshake_limit",
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.overload.connections.fetch_sub(1, Ordering::Relaxed);
        self.gate.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds one unless that would exceed the limit; 0 is no limit.
fn take(count: &AtomicU32, limit: u32) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    let fits = limit == 0 || before < limit;
    if !fits {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    fits
}

fn per_mille(used: u64, limit: u64) -> u64 {
    used.saturating_mul(1000).checked_div(limit).unwrap_or(0)
}

/// Goes up at once; comes down only two points below the threshold, so that it does not flutter.
fn level(per_mille: u64, before: Pressure) -> Pressure {
    let thresholds = [(970, Pressure::CloseIdle), (920, Pressure::StopAccept), (850, Pressure::ShedStreams)];
    for (threshold, pressure) in thresholds {
        let threshold = if pressure <= before { threshold - 20 } else { threshold };
        if per_mille >= threshold {
            return pressure;
        }
    }
    Pressure::Normal
}

/// reliability-security.md §1.1: memory ÷ 64 KiB, descriptors less a reserve; half of the descriptors, as a
/// proxied connection has two ends.
fn connections_that_fit(usage: Usage) -> u32 {
    let by_memory = if usage.memory_limit == 0 { u64::MAX } else { usage.memory_limit / (64 * 1024) };
    let by_descriptors = if usage.descriptor_limit == 0 {
        u64::MAX
    } else {
        usage.descriptor_limit.saturating_sub(RESERVED_DESCRIPTORS).max(2) / 2
    };
    let fit = by_memory.min(by_descriptors);
    if fit == u64::MAX { 0 } else { u32::try_from(fit).unwrap_or(u32::MAX).max(1) }
}

/// Kept for listeners, files, the control plane.
const RESERVED_DESCRIPTORS: u64 = 128;

#[cfg(test)]
mod tests;
