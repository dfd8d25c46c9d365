//! The connections of one identity, and when the next thing happens to each.
//!
//! A connection takes the lock when it is made and when it ends. Whoever judges connections takes it for a list and
//! judges without it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::counters::{Ended, MeshCounters};
use super::link::{Fate, Link, Tie};

/// Names a connection within its ledger.
pub(super) type Key = u64;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    /// Told when there is something to do before the judge would look by itself.
    pub(super) due: Notify,
    pub(super) counters: MeshCounters,
}

#[derive(Debug, Default)]
struct Inner {
    next: Key,
    entries: HashMap<Key, Entry, ahash::RandomState>,
    /// What is next, the earliest first.
    agenda: BTreeSet<(SystemTime, Key)>,
    /// Made while trust was changing: not yet judged by today's.
    fresh: Vec<Key>,
    /// The identity is gone: why.
    closed: Option<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    link: Arc<Link>,
    /// When the first certificate ends that the connection stands on.
    ends: SystemTime,
    next: Option<SystemTime>,
}

impl Ledger {
    /// Enters a connection. `ends` is when the first of its certificates does; `unsure` if trust may have changed since
    /// its handshake.
    pub(super) fn enter(
        self: &Arc<Self>,
        link: Link,
        ends: SystemTime,
        now: SystemTime,
        unsure: bool,
    ) -> Tie {
        self.counters.connected(link.side);
        let link = Arc::new(link);
        let mut inner = self.lock();
        let key = inner.next;
        inner.next += 1;
        inner.entries.insert(key, Entry { link: Arc::clone(&link), ends, next: None });
        inner.schedule(key, retires(ends, now));
        if unsure {
            inner.fresh.push(key);
        }
        let first = inner.agenda.first().is_some_and(|(_, first)| *first == key);
        if let Some(reason) = inner.closed.clone() {
            self.begin_drain(&mut inner, key, now, &reason, "identity_removed");
        }
        drop(inner);
        if first || unsure {
            self.due.notify_one();
        }
        Tie::new(link, Arc::clone(self), key)
    }

    /// A connection has ended.
    pub(super) fn forget(&self, key: Key) {
        let mut inner = self.lock();
        inner.unschedule(key);
        if inner.entries.remove(&key).is_some() {
            self.counters.active.dec();
        }
        if inner.closed.is_some() && inner.entries.is_empty() {
            self.due.notify_one();
        }
    }

    /// When something is to be done next; none: nothing is.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.lock().agenda.first().map(|(at, _)| *at)
    }

    /// All connections that are not cut.
    pub(super) fn all(&self) -> Vec<(Key, Arc<Link>)> {
        let mut inner = self.lock();
        inner.fresh.clear();
        let live = inner.entries.iter().filter(|(_, entry)| entry.link.fate() < Fate::Cut);
        live.map(|(key, entry)| (*key, Arc::clone(&entry.link))).collect()
    }

    /// Those that were made while trust was changing.
    pub(super) fn fresh(&self) -> Vec<(Key, Arc<Link>)> {
        let mut inner = self.lock();
        let fresh = std::mem::take(&mut inner.fresh);
        fresh.into_iter().filter_map(|key| Some((key, Arc::clone(&inner.entries.get(&key)?.link)))).collect()
    }

    /// Does what is due at `now`: connections near their end retire, then drain, then are cut.
    pub(super) fn age(&self, now: SystemTime) {
        let expired: Arc<str> = "a certificate of the connection has ended".into();
        let mut inner = self.lock();
        while let Some((at, key)) = inner.agenda.first().copied().filter(|(at, _)| *at <= now) {
            inner.unschedule(key);
            let Some(entry) = inner.entries.get(&key) else { continue };
            let (link, ends) = (Arc::clone(&entry.link), entry.ends);
            match link.fate() {
                Fate::Live if ends > at => {
                    link.advance(Fate::Retiring, None);
                    inner.schedule(key, ends);
                    link.tell();
                }
                Fate::Live | Fate::Retiring => {
                    self.begin_drain(&mut inner, key, now, &expired, "expired");
                }
                Fate::Draining => {
                    if link.advance(Fate::Cut, Some(&expired)) {
                        self.counters.end(link.side, Ended::Cut, "drain_deadline");
                        link.tell();
                    }
                }
                Fate::Cut => {}
            }
        }
    }

    /// A connection's trust has ended by itself: what is under way may end.
    pub(super) fn drain(&self, key: Key, now: SystemTime, reason: &Arc<str>, label: &'static str) {
        self.begin_drain(&mut self.lock(), key, now, reason, label);
    }

    fn begin_drain(
        &self,
        inner: &mut Inner,
        key: Key,
        now: SystemTime,
        reason: &Arc<str>,
        label: &'static str,
    ) {
        let Some(link) = inner.entries.get(&key).map(|entry| Arc::clone(&entry.link)) else { return };
        if link.fate() >= Fate::Draining {
            return;
        }
        inner.schedule(key, now + DRAIN);
        if link.advance(Fate::Draining, Some(reason)) {
            // Counted before anybody can see it.
            self.counters.end(link.side, Ended::Drained, label);
            link.tell();
        }
    }

    /// A connection is not believed any more.
    pub(super) fn cut(&self, key: Key, reason: &Arc<str>, label: &'static str) {
        let mut inner = self.lock();
        inner.unschedule(key);
        let Some(link) = inner.entries.get(&key).map(|entry| Arc::clone(&entry.link)) else { return };
        if link.advance(Fate::Cut, Some(reason)) {
            self.counters.end(link.side, Ended::Cut, label);
            link.tell();
        }
    }

    /// The identity is not in the configuration any more: connections end as they would at a drain.
    pub(super) fn close(&self, reason: &Arc<str>, now: SystemTime) {
        let mut inner = self.lock();
        inner.closed = Some(Arc::clone(reason));
        let keys: Vec<Key> = inner.entries.keys().copied().collect();
        for key in keys {
            self.begin_drain(&mut inner, key, now, reason, "identity_removed");
        }
        drop(inner);
        self.due.notify_one();
    }

    /// Whether the identity is gone, and with it the last connection.
    pub(super) fn done(&self) -> bool {
        let inner = self.lock();
        inner.closed.is_some() && inner.entries.is_empty()
    }

    /// Nothing in here is left half done by a panic: each step is one insertion or removal.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn schedule(&mut self, key: Key, at: SystemTime) {
        self.unschedule(key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.next = Some(at);
            self.agenda.insert((at, key));
        }
    }

    fn unschedule(&mut self, key: Key) {
        let next = self.entries.get_mut(&key).and_then(|entry| entry.next.take());
        if let Some(at) = next {
            self.agenda.remove(&(at, key));
        }
    }
}

/// When a connection takes its last request: a little before the first of its certificates ends, so that neither end
/// closes it under a request of the other. Both ends reckon from the same certificates.
///
/// A random bit earlier still: all connections that stand on one leaf of ours would else be made anew at one moment.
fn retires(ends: SystemTime, now: SystemTime) -> SystemTime {
    let left = ends.duration_since(now).unwrap_or_default();
    let spread = (left / 20).min(RETIRE_SPREAD).mul_f64(fastrand::f64());
    ends.checked_sub((left / 4).min(RETIRE_AHEAD) + spread).unwrap_or(ends)
}

/// The most that a connection retires ahead of its end: more than clocks differ and requests are under way.
const RETIRE_AHEAD: Duration = Duration::from_secs(10);
/// Over how long the retirement of connections that were made at one time is spread, at the most.
const RETIRE_SPREAD: Duration = Duration::from_secs(300);
/// What is under way on a connection whose certificate has ended has that long to end.
const DRAIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
