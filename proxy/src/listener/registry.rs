//! The connections of one core, so that they can be told to end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;

use crate::drain::DrainPhase;

/// The connections of one core. Telling them costs a look at each; being told costs a connection one compare at
/// each poll, and no timer, channel or lock.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    phase: Cell<DrainPhase>,
    /// Goes up whenever connections without a request under way are to be closed.
    idle_purge: Cell<u64>,
    next: Cell<u64>,
    wakers: RefCell<HashMap<u64, Waker, ahash::RandomState>>,
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Rc<Registry>,
    id: u64,
    seen_purge: Cell<u64>,
    waiting: Cell<bool>,
}

impl Registry {
    /// How far the drain is.
    pub(crate) fn phase(&self) -> DrainPhase {
        self.phase.get()
    }

    /// Tells every connection that the drain goes on.
    pub(crate) fn advance(&self, phase: DrainPhase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.wake_all();
        }
    }

    /// Closes the connections that have nothing under way: memory is short.
    pub(crate) fn purge_idle(&self) {
        self.idle_purge.set(self.idle_purge.get() + 1);
        self.wake_all();
    }

    /// Wakes every connection, so that it looks whether its listener is still there.
    pub(crate) fn wake_all(&self) {
        self.wakers.borrow().values().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn register(self: &Rc<Self>) -> Registered {
        let id = self.next.get();
        self.next.set(id + 1);
        Registered {
            registry: self.clone(),
            id,
            seen_purge: Cell::new(self.idle_purge.get()),
            waiting: Cell::new(false),
        }
    }
}

impl Registered {
    /// How far the drain is.
    pub(crate) fn phase(&self) -> DrainPhase {
        self.registry.phase()
    }

    /// Whether idle connections were to be closed since this was last asked.
    pub(crate) fn purged(&self) -> bool {
        let purge = self.registry.idle_purge.get();
        self.seen_purge.replace(purge) != purge
    }

    /// Leaves the waker; a connection's task has one for its whole life.
    pub(crate) fn wait(&self, waker: &Waker) {
        if !self.waiting.replace(true) {
            self.registry.wakers.borrow_mut().insert(self.id, waker.clone());
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.wakers.borrow_mut().remove(&self.id);
    }
}
