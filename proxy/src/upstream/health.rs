//! Active health checks: each endpoint of a backend that wants them is asked at its interval, on the control
//! runtime. Every check opens a connection of its own, so that a dead listener is not hidden by a live connection.

mod grpc;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::ActiveHealth;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::info;

use crate::mesh::TargetId;
use crate::upstream::endpoint::{EndpointId, EndpointState, Member};
use crate::upstream::handle::{BackendHandle, TransportId};
use crate::upstream::resolve::Resolver;

/// The checks that run.
#[derive(Debug)]
pub struct HealthChecker {
    runtime: Handle,
    resolver: Arc<Resolver>,
    running: HashMap<EndpointId, Check>,
}

/// A check that runs. Stopped when dropped.
#[derive(Debug)]
struct Check {
    transport: TransportId,
    mesh: Option<TargetId>,
    policy: ActiveHealth,
    endpoint: Arc<EndpointState>,
    task: AbortHandle,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.task.abort();
        // Without checks an endpoint counts as fit.
        self.endpoint.set_passes_checks(true);
    }
}

impl HealthChecker {
    /// No checks yet; they will run on `runtime`: the control runtime.
    pub fn new(runtime: Handle, resolver: Arc<Resolver>) -> Self {
        Self { runtime, resolver, running: HashMap::new() }
    }

    /// Starts and stops checks so that they are those that `backends` want. Call after every new configuration;
    /// checks whose policy did not change go on with what they have counted.
    pub fn reconcile<'a>(&mut self, backends: impl IntoIterator<Item = &'a Arc<BackendHandle>>) {
        let mut old = std::mem::take(&mut self.running);
        for backend in backends {
            let Some(policy) = &backend.spec.health.active else { continue };
            for member in backend.members().iter() {
                let id = member.state.id;
                let same = |check: &Check| {
                    check.policy == *policy
                        && check.transport == backend.transport
                        && check.mesh == member.way.id()
                };
                let check = match old.remove(&id).filter(same) {
                    Some(check) => check,
                    None => self.start(backend, policy, member),
                };
                self.running.insert(id, check);
            }
        }
    }

    /// How many endpoints are checked.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    fn start(&self, backend: &Arc<BackendHandle>, policy: &ActiveHealth, member: &Arc<Member>) -> Check {
        let run = check(Arc::clone(backend), policy.clone(), Arc::clone(member), Arc::clone(&self.resolver));
        Check {
            transport: backend.transport,
            mesh: member.way.id(),
            policy: policy.clone(),
            endpoint: Arc::clone(&member.state),
            task: self.runtime.spawn(run).abort_handle(),
        }
    }
}

/// Asks for ever. The first answer decides at once; afterwards the thresholds do.
async fn check(
    backend: Arc<BackendHandle>,
    policy: ActiveHealth,
    member: Arc<Member>,
    resolver: Arc<Resolver>,
) {
    let endpoint = &member.state;
    let mut streak = Streak::default();
    loop {
        let asked = probe::ask(&backend, &member, &resolver, &policy.probe);
        let answer = match tokio::time::timeout(policy.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer in time".to_owned()),
        };
        if let Some(fit) = streak.note(answer.is_ok(), &policy) {
            endpoint.set_passes_checks(fit);
            let (backend, reason) = (&backend.name, answer.err());
            info!(%backend, %endpoint, fit, reason, "Health check verdict changed");
        }
        tokio::time::sleep(jittered(policy.interval, fastrand::f64())).await;
    }
}

/// An interval, more or less a tenth: `random` is within 0..1.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random)
}

/// Answers in a row.
#[derive(Debug, Default)]
struct Streak {
    /// The verdict that holds; none before the first answer.
    fit: Option<bool>,
    /// Answers in a row against it.
    against: u32,
}

impl Streak {
    /// Counts an answer. Tells the verdict if it changes, and the first one.
    fn note(&mut self, good: bool, policy: &ActiveHealth) -> Option<bool> {
        let Some(fit) = self.fit else {
            self.fit = Some(good);
            return Some(good);
        };
        if fit == good {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let threshold = if good { policy.healthy_threshold } else { policy.unhealthy_threshold };
        if self.against < threshold.max(1) {
            return None;
        }
        *self = Self { fit: Some(good), against: 0 };
        Some(good)
    }
}

#[cfg(test)]
mod tests;
