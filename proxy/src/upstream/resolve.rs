//! Names to addresses, cached for all cores. A stale answer outlives failures up to a cap; failures are
//! remembered briefly; a name is looked up once at a time.

mod cache;
mod system;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::upstream::clock::Moment;
use crate::upstream::resolve::cache::{Known, Verdict};

/// Where answers come from.
pub trait Lookup: Send + Sync + 'static {
    /// Asks for all addresses of a name.
    fn look_up(&self, name: Arc<str>) -> BoxFuture<'static, Answer>;
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The name has these addresses, one at least.
    Found {
        /// In the order of preference.
        addresses: Vec<IpAddr>,
        /// How long they hold.
        ttl: Duration,
    },
    /// The name is known not to exist, or to have no address.
    Absent,
    /// Nothing was learned.
    Failed {
        /// Why, for the log.
        reason: String,
    },
}

/// The process's resolver.
pub struct Resolver {
    runtime: Handle,
    lookup: Arc<dyn Lookup>,
    names: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    done: Notify,
}

#[derive(Default)]
struct State {
    known: Known,
    asking: bool,
}

impl Resolver {
    /// A resolver by the system's configuration (`/etc/resolv.conf`, `/etc/hosts`). Look-ups run on `runtime`:
    /// the control runtime.
    pub fn system(runtime: Handle) -> Self {
        let lookup = Arc::new(system::System::new(&runtime));
        Self::new(runtime, lookup)
    }

    /// A resolver that asks `lookup`.
    pub fn new(runtime: Handle, lookup: Arc<dyn Lookup>) -> Self {
        Self { runtime, lookup, names: Mutex::default() }
    }

    /// The addresses of a name, one at least.
    ///
    /// # Errors
    /// The reason, if the name has no address that may be used.
    pub async fn resolve(&self, name: &Arc<str>) -> Result<Arc<[IpAddr]>, Arc<str>> {
        let entry = self.entry(name);
        // A look-up that ends badly leaves a verdict too, so a second round always has one, short of eviction.
        for _ in 0..3 {
            // Made before the look at the state: an answer in between is not missed.
            let done = entry.done.notified();
            match self.judge(name, &entry) {
                Verdict::Use(addresses) => return Ok(addresses),
                Verdict::Refuse(reason) => return Err(reason),
                Verdict::Ask { .. } => done.await,
            }
        }
        Err("no answer in time".into())
    }

    /// What is known; starts a look-up if one is due.
    fn judge(&self, name: &Arc<str>, entry: &Arc<Entry>) -> Verdict {
        let mut state = entry.state.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = state.known.judge(Moment::now());
        let Verdict::Ask { meanwhile } = verdict else { return verdict };
        if !state.asking {
            state.asking = true;
            self.ask(Arc::clone(name), Arc::clone(entry));
        }
        match meanwhile {
            Some(addresses) => Verdict::Use(addresses),
            None => Verdict::Ask { meanwhile: None },
        }
    }

    fn ask(&self, name: Arc<str>, entry: Arc<Entry>) {
        let answer = self.lookup.look_up(Arc::clone(&name));
        self.runtime.spawn(async move {
            let answer = match tokio::time::timeout(LOOKUP_TIMEOUT, answer).await {
                Ok(answer) => answer,
                Err(_) => Answer::Failed { reason: "no answer in time".to_owned() },
            };
            match &answer {
                Answer::Found { addresses, .. } => debug!(%name, ?addresses, "Name is resolved"),
                Answer::Absent => warn!(%name, "Name does not exist"),
                Answer::Failed { reason } => warn!(%name, %reason, "Name resolution failed"),
            }
            let mut state = entry.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.asking = false;
            state.known.learn(answer, Moment::now());
            drop(state);
            entry.done.notify_waiters();
        });
    }

    fn entry(&self, name: &Arc<str>) -> Arc<Entry> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = names.get(name) {
            return Arc::clone(entry);
        }
        if names.len() >= MAX_NAMES {
            // Names come from configuration, so this is a churn of names that are gone.
            names.retain(|_, entry| Arc::strong_count(entry) > 1);
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        let entry = Arc::new(Entry::default());
        names.insert(Arc::clone(name), Arc::clone(&entry));
        entry
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// One look-up, all servers and retries together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Names that are remembered at most.
const MAX_NAMES: usize = 4096;

#[cfg(test)]
mod tests;
