//! Runs a source that is asked: when to ask, what to do with the answer, how to go on after a failure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::PeerProfile;
use tokio::sync::Notify;

use super::ask::{Ask, AskError, Pace};
use super::assembly::Assembly;
use super::request::KeyRequest;
use crate::clock::Clock;
use crate::id::WorkloadId;
use crate::rotation::{Held, Schedule, retry_after, retry_after_refusal};
use crate::svid::X509Svid;

/// A source that is asked, under a schedule.
pub(crate) struct Renewal<A> {
    /// The source.
    pub(crate) ask: A,
    /// For whom.
    pub(crate) id: WorkloadId,
    /// By which rules the own certificate is judged too.
    pub(crate) profile: PeerProfile,
    /// When.
    pub(crate) schedule: Schedule,
    /// Where answers go.
    pub(crate) assembly: Arc<Assembly>,
    /// The wall clock.
    pub(crate) clock: Clock,
    /// Rung when somebody wants a renewal now.
    pub(crate) renew: Arc<Notify>,
}

/// Why an attempt came to nothing.
enum Failure {
    /// Not on record yet.
    Ask(AskError),
    /// The publisher refused, and has it on record.
    Refused,
}

impl<A: Ask> Renewal<A> {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let mut not_after = None;
        let mut failures = 0_u32;
        loop {
            match self.attempt().await {
                Ok(held) => {
                    failures = 0;
                    not_after = Some(held.not_after);
                    self.wait_for_renewal(held).await;
                }
                Err(failure) => {
                    failures = failures.saturating_add(1);
                    self.wait_for_retry(&failure, not_after, failures).await;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Held, Failure> {
        let svid = match tokio::time::timeout(ATTEMPT, self.ask()).await {
            Ok(result) => result.map_err(Failure::Ask)?,
            Err(_) => return Err(Failure::Ask(AskError::Timeout(ATTEMPT))),
        };
        let (svid, bundles) = svid;
        let held =
            Held { not_before: svid.not_before(), not_after: svid.not_after(), received: self.clock.now() };
        let change = self.assembly.change(|parts| {
            parts.svid = Some(svid);
            if let Some(bundles) = bundles {
                parts.own = bundles;
            }
        });
        change.map(|()| held).map_err(|_| Failure::Refused)
    }

    async fn ask(&mut self) -> Result<(X509Svid, Option<crate::TrustBundles>), AskError> {
        let request = KeyRequest::new(&self.id)?;
        let answer = self.ask.ask(&request).await?;
        let svid = X509Svid::new(answer.chain, request.key, self.profile)?;
        Ok((svid, answer.bundles))
    }

    /// Looks at the wall clock now and then, as it may be set.
    async fn wait_for_renewal(&self, held: Held) {
        let jitter = fastrand::f64();
        loop {
            let now = self.clock.now();
            let due = self.schedule.renewal(held, now, jitter);
            self.assembly.publisher().next_renewal(due);
            if due <= now {
                return;
            }
            tokio::select! {
                () = self.clock.sleep_until(due) => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.renew.notified() => return,
            }
        }
    }

    async fn wait_for_retry(&self, failure: &Failure, not_after: Option<SystemTime>, failures: u32) {
        let pace = match failure {
            Failure::Ask(error) => {
                self.assembly.publisher().failed(error);
                error.pace()
            }
            Failure::Refused => Pace::Soon,
        };
        let now = self.clock.now();
        let wait = match pace {
            Pace::Soon => retry_after(not_after, now, fastrand::f64(), failures),
            Pace::Seldom => retry_after_refusal(fastrand::f64()),
        };
        self.assembly.publisher().next_renewal(now + wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.renew.notified() => {}
        }
    }
}

/// Longer than connecting and asking may take together; files on a slow disk come on top.
const ATTEMPT: Duration = Duration::from_secs(18);
/// How long a clock that was set may go unseen.
const LOOK: Duration = Duration::from_secs(60);
