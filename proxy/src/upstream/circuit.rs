//! Circuit limits of a backend: connections, requests that wait for one, requests. Counted over all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// The counters of one backend. The limits come with each call, so that a new configuration takes hold at once.
#[derive(Debug, Default)]
pub struct CircuitCounters {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    /// Told whenever a connection ends.
    freed: Notify,
}

impl CircuitCounters {
    /// Connections now.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that wait for a connection now.
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Requests now; 0 where there is no limit, for then they are not counted.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A place for a connection; none if `limit` (0: no limit) is reached.
    pub(crate) fn connection(self: &Arc<Self>, limit: u32) -> Option<ConnectionPermit> {
        take(&self.connections, limit).then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// A place in the queue for a connection.
    pub(crate) fn waiting(self: &Arc<Self>, limit: u32) -> Option<PendingPermit> {
        take(&self.pending, limit).then(|| PendingPermit(Arc::clone(self)))
    }

    /// A place for a request. Without a limit the permit is empty: no core then touches what others count.
    pub(crate) fn request(self: &Arc<Self>, limit: u32) -> Option<RequestPermit> {
        if limit == 0 {
            return Some(RequestPermit(None));
        }
        take(&self.requests, limit).then(|| RequestPermit(Some(Arc::clone(self))))
    }

    /// Whether requests wait on some core while all connections are taken: idle ones are then better closed.
    pub(crate) fn starved(&self, limit: u32) -> bool {
        limit != 0 && self.connections() >= limit && self.pending() > 0
    }

    /// Resolves when a connection ends after this call, awaited yet or not.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }
}

/// Adds one unless `limit` is reached.
fn take(counter: &AtomicU32, limit: u32) -> bool {
    if limit == 0 {
        counter.fetch_add(1, Ordering::Relaxed);
        return true;
    }
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1))
        .is_ok()
}

/// One connection that counts.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<CircuitCounters>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        // All are told: which of them finds a use for the place is for their pools to say.
        self.0.freed.notify_waiters();
    }
}

/// One waiting request that counts.
#[derive(Debug)]
pub struct PendingPermit(Arc<CircuitCounters>);

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request that counts.
#[derive(Debug)]
pub struct RequestPermit(Option<Arc<CircuitCounters>>);

impl Drop for RequestPermit {
    fn drop(&mut self) {
        if let Some(counters) = &self.0 {
            counters.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_and_is_given_back() {
        let counters = Arc::new(CircuitCounters::default());
        let first = counters.connection(2).unwrap();
        let second = counters.connection(2).unwrap();
        assert!(counters.connection(2).is_none());
        assert_eq!(counters.connections(), 2);
        drop(first);
        assert!(counters.connection(2).is_some());
        drop(second);
        assert_eq!(counters.connections(), 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let counters = Arc::new(CircuitCounters::default());
        let held: Vec<_> = (0..10).map(|_| counters.connection(0).unwrap()).collect();
        assert_eq!(counters.connections(), 10);
        drop(held);
        assert_eq!(counters.connections(), 0);
    }

    #[test]
    fn requests_are_limited() {
        let counters = Arc::new(CircuitCounters::default());
        let held = counters.request(1).unwrap();
        assert!(counters.request(1).is_none());
        drop(held);
        assert!(counters.request(1).is_some());
        assert!(counters.request(0).is_some());
        assert_eq!(counters.requests(), 0);
    }

    #[test]
    fn the_limits_are_apart() {
        let counters = Arc::new(CircuitCounters::default());
        let _waiting = counters.waiting(1).unwrap();
        assert!(counters.waiting(1).is_none());
        assert!(counters.connection(1).is_some());
        assert_eq!(counters.pending(), 1);
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_told() {
        let counters = Arc::new(CircuitCounters::default());
        let permit = counters.connection(1).unwrap();
        let freed = counters.freed();
        drop(permit);
        freed.await;
        assert!(counters.connection(1).is_some());
    }
}
