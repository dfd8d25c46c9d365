//! A mesh connection's standing with the identity that vouches for both ends.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use identity::PeerFacts;

use super::counters::Side;
use super::ledger::{Key, Ledger};

/// What a connection may still do. Only ever goes up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[repr(u8)]
pub enum Fate {
    /// Everything.
    Live,
    /// A certificate ends soon: the request that comes now is the last one.
    Retiring,
    /// A certificate has ended: what is under way may end, nothing begins.
    Draining,
    /// It is not believed any more: it ends at once.
    Cut,
}

/// A connection as its [`Ledger`] sees it. Shared by the connection and those that judge it.
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerFacts,
    /// Which end is ours.
    pub side: Side,
    fate: AtomicU8,
    reason: OnceLock<Arc<str>>,
    /// A connection is driven by one task at a time.
    waker: AtomicWaker,
}

impl Link {
    pub(super) fn new(peer: PeerFacts, side: Side) -> Self {
        Self {
            peer,
            side,
            fate: AtomicU8::new(Fate::Live as u8),
            reason: OnceLock::new(),
            waker: AtomicWaker::new(),
        }
    }

    /// How it stands. One load.
    pub fn fate(&self) -> Fate {
        match self.fate.load(Ordering::Acquire) {
            0 => Fate::Live,
            1 => Fate::Retiring,
            2 => Fate::Draining,
            _ => Fate::Cut,
        }
    }

    /// Whether a request may begin on it.
    pub fn usable(&self) -> bool {
        self.fate() == Fate::Live
    }

    /// Why it is to end; none while it is not.
    pub fn reason(&self) -> Option<&Arc<str>> {
        self.reason.get()
    }

    /// Takes it to `fate`, never back. True: it was not there yet, and its task is to be told ([`Link::tell`]).
    pub(super) fn advance(&self, fate: Fate, reason: Option<&Arc<str>>) -> bool {
        if let Some(reason) = reason {
            // The first reason is the one that ended it.
            let _ = self.reason.set(Arc::clone(reason));
        }
        self.fate.fetch_max(fate as u8, Ordering::AcqRel) < fate as u8
    }

    /// Has the connection's task look at its fate.
    pub(super) fn tell(&self) {
        self.waker.wake();
    }

    /// Ready once the fate is at least `fate`. Whoever polls last is woken.
    pub fn poll_reached(&self, cx: &Context<'_>, fate: Fate) -> Poll<()> {
        if self.fate() >= fate {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // It may have risen before the waker was there.
        if self.fate() >= fate { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Completes once the fate is at least `fate`.
    pub async fn reached(&self, fate: Fate) {
        poll_fn(|cx| self.poll_reached(cx, fate)).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer.id)
            .field("fate", &self.fate())
            .finish_non_exhaustive()
    }
}

/// Ties a connection to its identity: while this lives, the connection is judged again. Dropped with it.
#[derive(Debug)]
pub struct Tie {
    link: Arc<Link>,
    ledger: Arc<Ledger>,
    key: Key,
}

impl Tie {
    pub(super) fn new(link: Arc<Link>, ledger: Arc<Ledger>, key: Key) -> Self {
        Self { link, ledger, key }
    }

    /// The link itself, for whoever only looks.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl std::ops::Deref for Tie {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.ledger.forget(self.key);
    }
}
