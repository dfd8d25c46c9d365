//! Graceful stop, and whether the proxy is ready.
//!
//! A drain goes through [`DrainPhase`]s: readiness fails first while listeners stay open (load balancers need
//! time to notice), then connections are told to end, then they are cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How far a drain is. Only ever goes up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub enum DrainPhase {
    /// Ordinary service.
    #[default]
    Serving,
    /// Not ready any more, but everything is still accepted and served.
    Leaving,
    /// Nothing is accepted; connections end as soon as they can: `Connection: close`, GOAWAY.
    Draining,
    /// Connections are cut.
    Forced,
}

/// Starts a drain. Dropping it changes nothing.
#[derive(Debug)]
pub struct DrainSignal {
    state: Arc<State>,
    sender: watch::Sender<DrainPhase>,
}

/// Sees a drain. Cheap to clone; hand one to each connection.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    state: Arc<State>,
    receiver: watch::Receiver<DrainPhase>,
    parent: Option<Box<DrainWatch>>,
}

/// Counts a connection: a drain is done when the last one is dropped.
#[derive(Debug)]
pub struct DrainGuard {
    state: Arc<State>,
    parent: Option<Box<DrainGuard>>,
}

#[derive(Debug, Default)]
struct State {
    phase: AtomicU8,
    live: AtomicUsize,
    ended: Notify,
}

impl DrainSignal {
    /// A signal and the watch that sees it.
    pub fn new() -> (Self, DrainWatch) {
        Self::with_parent(None)
    }

    /// A signal for a part of the proxy (a listener that went away, say): its watch sees whichever of this
    /// drain and the parent's is further.
    pub fn child_of(parent: &DrainWatch) -> (Self, DrainWatch) {
        Self::with_parent(Some(Box::new(parent.clone())))
    }

    fn with_parent(parent: Option<Box<DrainWatch>>) -> (Self, DrainWatch) {
        let (sender, receiver) = watch::channel(DrainPhase::Serving);
        let state = Arc::new(State::default());
        (Self { state: state.clone(), sender }, DrainWatch { state, receiver, parent })
    }

    /// Goes to `phase`, never back.
    pub fn advance(&self, phase: DrainPhase) {
        self.sender.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
                self.state.phase.store(phase as u8, Ordering::Release);
            }
            forward
        });
        self.state.ended.notify_waiters();
    }

    /// The phase now.
    pub fn phase(&self) -> DrainPhase {
        *self.sender.borrow()
    }

    /// Runs the whole drain: leaves for `delay`, then drains until the last connection has ended or `deadline`
    /// has passed since the drain began, then forces. Whoever advances it meanwhile (a second SIGTERM) cuts
    /// it short. Returns the number of connections that had to be cut.
    pub async fn run(&self, delay: Duration, deadline: Duration) -> usize {
        self.advance(DrainPhase::Leaving);
        let mut phase = self.sender.subscribe();
        let further = phase.wait_for(|phase| *phase > DrainPhase::Leaving);
        let _ = tokio::time::timeout(delay, further).await;
        self.advance(DrainPhase::Draining);
        let forced = phase.wait_for(|phase| *phase == DrainPhase::Forced);
        tokio::select! {
            () = self.state.empty() => {}
            _ = forced => {}
            () = tokio::time::sleep(deadline.saturating_sub(delay)) => {}
        }
        let cut = self.live();
        self.advance(DrainPhase::Forced);
        cut
    }

    /// Connections that hold a guard.
    pub fn live(&self) -> usize {
        self.state.live.load(Ordering::Acquire)
    }

    /// Completes when no connection holds a guard.
    pub async fn empty(&self) {
        self.state.empty().await;
    }
}

impl DrainWatch {
    /// The phase now. Two atomic loads at most: cheap enough for each request.
    pub fn phase(&self) -> DrainPhase {
        let own = match self.state.phase.load(Ordering::Acquire) {
            0 => DrainPhase::Serving,
            1 => DrainPhase::Leaving,
            2 => DrainPhase::Draining,
            _ => DrainPhase::Forced,
        };
        self.parent.as_ref().map_or(own, |parent| own.max(parent.phase()))
    }

    /// Completes when the phase is at least `phase`. Pending for ever if the signal is gone before that.
    pub async fn reached(&mut self, phase: DrainPhase) {
        match &mut self.parent {
            None => reached(&mut self.receiver, phase).await,
            Some(parent) => {
                tokio::select! {
                    () = reached(&mut self.receiver, phase) => {}
                    () = Box::pin(parent.reached(phase)) => {}
                }
            }
        }
    }

    /// Completes when connections shall end.
    pub async fn draining(&mut self) {
        self.reached(DrainPhase::Draining).await;
    }

    /// Completes when connections are to be cut.
    pub async fn forced(&mut self) {
        self.reached(DrainPhase::Forced).await;
    }

    /// Counts a connection until the guard is dropped.
    pub fn guard(&self) -> DrainGuard {
        self.state.live.fetch_add(1, Ordering::AcqRel);
        let parent = self.parent.as_ref().map(|parent| Box::new(parent.guard()));
        DrainGuard { state: self.state.clone(), parent }
    }
}

async fn reached(receiver: &mut watch::Receiver<DrainPhase>, phase: DrainPhase) {
    if receiver.wait_for(|current| *current >= phase).await.is_err() {
        std::future::pending().await
    }
}

impl State {
    async fn empty(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.live.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        if self.state.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.ended.notify_waiters();
        }
        drop(self.parent.take());
    }
}

/// Whether the proxy may get traffic: nothing blocks, and it does not drain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    blockers: Arc<Mutex<Blockers>>,
    drain: DrainWatch,
}

#[derive(Debug, Default)]
struct Blockers {
    next: u64,
    reasons: BTreeMap<u64, String>,
}

/// Keeps the proxy from being ready until it is dropped.
#[derive(Debug)]
pub struct BlockReady {
    blockers: Arc<Mutex<Blockers>>,
    id: u64,
}

impl Readiness {
    /// Ready unless something blocks or the watch sees a drain.
    pub fn new(drain: DrainWatch) -> Self {
        Self { blockers: Arc::default(), drain }
    }

    /// Blocks readiness for a reason that is shown: `no snapshot has been applied`.
    pub fn block(&self, reason: impl Into<String>) -> BlockReady {
        let mut blockers = self.blockers.lock().unwrap_or_else(PoisonError::into_inner);
        let id = blockers.next;
        blockers.next += 1;
        blockers.reasons.insert(id, reason.into());
        BlockReady { blockers: self.blockers.clone(), id }
    }

    /// Why the proxy is not ready; empty if it is.
    pub fn reasons(&self) -> Vec<String> {
        let blockers = self.blockers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reasons: Vec<_> = blockers.reasons.values().cloned().collect();
        if self.drain.phase() > DrainPhase::Serving {
            reasons.push("the proxy is draining".into());
        }
        reasons
    }
}

impl Drop for BlockReady {
    fn drop(&mut self) {
        self.blockers.lock().unwrap_or_else(PoisonError::into_inner).reasons.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_delay_then_for_the_last_connection() {
        let (signal, watch) = DrainSignal::new();
        let readiness = Readiness::new(watch.clone());
        let guard = watch.guard();
        assert!(readiness.reasons().is_empty());
        let begin = Instant::now();
        let mut own = watch.clone();
        let connection = tokio::spawn(async move {
            own.draining().await;
            assert_eq!(begin.elapsed().as_secs(), 15);
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(guard);
        });
        let cut = signal.run(Duration::from_secs(15), Duration::from_secs(45)).await;
        assert_eq!((cut, begin.elapsed().as_secs()), (0, 18));
        assert_eq!(readiness.reasons(), ["the proxy is draining"]);
        connection.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_forces_and_counts() {
        let (signal, mut watch) = DrainSignal::new();
        let _guard = watch.guard();
        let begin = Instant::now();
        assert_eq!(signal.run(Duration::from_secs(1), Duration::from_secs(5)).await, 1);
        assert_eq!(begin.elapsed().as_secs(), 5);
        watch.forced().await;
        assert_eq!(watch.phase(), DrainPhase::Forced);
    }

    #[tokio::test(start_paused = true)]
    async fn second_signal_cuts_short() {
        let (signal, watch) = DrainSignal::new();
        let _guard = watch.guard();
        let begin = Instant::now();
        tokio::join!(signal.run(Duration::from_secs(15), Duration::from_secs(45)), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            signal.advance(DrainPhase::Forced);
        });
        assert_eq!(begin.elapsed().as_secs(), 2);
        signal.advance(DrainPhase::Leaving);
        assert_eq!(signal.phase(), DrainPhase::Forced, "a drain never goes back");
    }

    #[tokio::test(start_paused = true)]
    async fn child_sees_its_own_drain_and_its_parents() {
        let (signal, watch) = DrainSignal::new();
        let (child_signal, mut child) = DrainSignal::child_of(&watch);
        let guard = child.guard();
        assert_eq!((signal.live(), child_signal.live()), (1, 1));
        child_signal.advance(DrainPhase::Draining);
        child.draining().await;
        assert_eq!((watch.phase(), child.phase()), (DrainPhase::Serving, DrainPhase::Draining));
        signal.advance(DrainPhase::Forced);
        child.forced().await;
        drop(guard);
        assert_eq!((signal.live(), child_signal.live()), (0, 0));
    }

    #[test]
    fn blocks_until_dropped() {
        let (_signal, watch) = DrainSignal::new();
        let readiness = Readiness::new(watch);
        let block = readiness.block("no snapshot");
        assert_eq!(readiness.reasons(), ["no snapshot"]);
        drop(block);
        assert!(readiness.reasons().is_empty());
    }
}
