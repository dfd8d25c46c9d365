//! Warns before an SVID ends, and tells when it has: at 50, 25 and 10 percent of its life, then at its end.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use tracing::{error, warn};

use super::Shared;
use crate::svid::X509Svid;

/// Percent of an SVID's life that are left when a warning is given.
const WARNINGS: [u32; 3] = [50, 25, 10];

/// Starts the timer on the current runtime; without one there are no warnings. It ends with the last handle.
pub(super) fn watch(shared: &Arc<Shared>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let mut changed = shared.changed.subscribe();
    let clock = shared.clock.clone();
    let weak = Arc::downgrade(shared);
    runtime.spawn(async move {
        loop {
            let next = weak.upgrade().and_then(|shared| shared.next_event());
            let changes = async {
                match next {
                    Some((at, _)) => {
                        tokio::select! {
                            change = changed.changed() => change.is_ok(),
                            () = clock.sleep_until(at) => {
                                tell(&weak, next);
                                true
                            }
                        }
                    }
                    None => changed.changed().await.is_ok(),
                }
            };
            if !changes.await {
                return;
            }
        }
    });
}

/// What comes next in an SVID's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    /// So many percent are left.
    Left(u32),
    /// It has ended.
    Ended,
}

fn events(svid: &X509Svid) -> impl Iterator<Item = (SystemTime, Event)> {
    let life = svid.not_after().duration_since(svid.not_before()).unwrap_or_default();
    let end = svid.not_after();
    let warnings =
        WARNINGS.into_iter().map(move |percent| (end - life * percent / 100, Event::Left(percent)));
    warnings.chain([(end, Event::Ended)])
}

impl Shared {
    /// The next event that was not told yet.
    fn next_event(&self) -> Option<(SystemTime, Event)> {
        let current = self.current.load_full()?;
        let told = self.record().told.filter(|(generation, _)| *generation == current.material.generation);
        let now = self.clock.now();
        let mut left = events(&current.material.svid)
            .filter(|(at, _)| told.is_none_or(|(_, told)| *at > told))
            .peekable();
        let mut next = left.next()?;
        // Of several that are past already, as for an SVID that came late, the last says it all.
        while let Some(later) = left.next_if(|(at, _)| *at <= now) {
            next = later;
        }
        Some(next)
    }
}

fn tell(weak: &Weak<Shared>, event: Option<(SystemTime, Event)>) {
    let (Some(shared), Some((at, event))) = (weak.upgrade(), event) else { return };
    let Some(current) = shared.current.load_full() else { return };
    let generation = current.material.generation;
    shared.record().told = Some((generation, at));
    let name = &shared.name;
    let last_error = shared.record().last_error_text();
    match event {
        // A source that renews about the half of the life is not late when half is left, unless it has failed.
        Event::Left(50) if last_error.is_none() => {}
        Event::Left(percent) => {
            warn!(identity = %name, percent_left = percent, last_error, "Identity is not renewed yet");
        }
        Event::Ended => {
            error!(identity = %name, last_error, "Identity has ended: mesh connections are refused");
            // The same generation: whoever waits wakes up and finds no material.
            shared.changed.send_modify(|_| {});
        }
    }
}
