//! Looks at live connections again: on each change of trust, and when certificates end. Runs on the control runtime,
//! and verifies chains on its blocking threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use identity::{Identity, Material, VerifyError};
use tracing::{error, info, warn};

use super::ledger::{Key, Ledger};
use super::link::Link;

/// Judges the connections of an identity for as long as there is one or can be one.
pub(super) async fn run(identity: Identity, ledger: Arc<Ledger>) {
    let mut changed = identity.changed();
    let mut judged = None;
    while !ledger.done() {
        let next = ledger.next();
        let clock = identity.clock();
        let due = async {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The identity that we hold keeps the sender alive.
            Ok(()) = changed.changed() => {
                let material = identity.material();
                if distrusts(judged.as_deref(), material.as_deref()) {
                    sweep(&identity, &ledger, ledger.all()).await;
                }
                judged = material;
            }
            () = ledger.due.notified() => sweep(&identity, &ledger, ledger.fresh()).await,
            () = due => ledger.age(identity.clock().now()),
        }
    }
}

/// Whether somebody who was believed may not be believed now. A new leaf of our own alone changes nothing for peers.
fn distrusts(before: Option<&Material>, now: Option<&Material>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.bundles != now.bundles || before.crls != now.crls,
        _ => true,
    }
}

async fn sweep(identity: &Identity, ledger: &Arc<Ledger>, links: Vec<(Key, Arc<Link>)>) {
    if links.is_empty() {
        return;
    }
    let links: Arc<[_]> = links.into();
    let (judging, by, in_ledger) = (Arc::clone(&links), identity.clone(), Arc::clone(ledger));
    let swept = tokio::task::spawn_blocking(move || judge(&by, &in_ledger, &judging)).await;
    if let Err(error) = swept {
        // Whoever cannot be judged is not believed.
        error!(%error, "Live mesh connections are cut because they cannot be judged");
        let reason: Arc<str> = "the connection could not be judged".into();
        links.iter().for_each(|(key, _)| ledger.cut(*key, &reason, "not_judged"));
    }
}

/// Verifies each chain once, however many connections stand on it.
pub(super) fn judge(identity: &Identity, ledger: &Ledger, links: &[(Key, Arc<Link>)]) {
    let now = identity.clock().now();
    let mut verdicts: HashMap<&[_], Result<(), Reason>, ahash::RandomState> = HashMap::default();
    let mut ended = 0_usize;
    let mut last = None;
    for (key, link) in links {
        let verdict = verdicts
            .entry(&link.peer.chain)
            .or_insert_with(|| identity.verify_again(&link.peer).map_err(|error| Reason::new(&error)));
        if let Err(reason) = verdict {
            reason.apply(ledger, *key, now);
            ended += 1;
            last = Some((link.peer.id.clone(), Arc::clone(&reason.text)));
        }
    }
    if let Some((peer, reason)) = last {
        warn!(
            identity = identity.name(), ended, judged = links.len(), %peer, %reason,
            "Live mesh connections are not believed any more"
        );
    } else {
        info!(identity = identity.name(), judged = links.len(), "Live mesh connections are still believed");
    }
}

struct Reason {
    text: Arc<str>,
    label: &'static str,
    cuts: bool,
    ends: bool,
}

impl Reason {
    fn new(error: &VerifyError) -> Self {
        // What ends by the clock ends gently. A clock that was set back has taken nobody's trust away.
        let (ends, cuts) = match error {
            VerifyError::Expired { .. } | VerifyError::IssuerOutsideValidity => (true, false),
            VerifyError::NotYetValid { .. } => (false, false),
            _ => (true, true),
        };
        Self { text: error.to_string().into(), label: error.reason(), cuts, ends }
    }

    fn apply(&self, ledger: &Ledger, key: Key, now: SystemTime) {
        if self.cuts {
            ledger.cut(key, &self.text, self.label);
        } else if self.ends {
            ledger.drain(key, now, &self.text, self.label);
        }
    }
}
