//! XBackendTrafficPolicy: retry budget and session persistence of a backend, whichever route leads to it.

use std::time::Duration;

use api::gateway_api::{Gateway, RetryConstraint, XBackendTrafficPolicy};
use api::{Object, ObjectKey};
use model::{Backend, Origin, RetryBudget, SessionPersistence};

use super::condition;
use crate::context::Context;
use crate::policy::age;
use crate::routes::{origin, session};
use crate::status::Verdict;

/// What the policy of a backend asks for.
pub(super) struct Traffic {
    by: Origin,
    budget: Option<RetryBudget>,
    session: Option<SessionPersistence>,
}

impl Traffic {
    /// Sets what the policy asks for. The XBackend's own session persistence goes before a policy's.
    pub(super) fn apply(self, backend: &mut Backend) {
        if self.budget.is_some() {
            backend.retry_budget = self.budget;
            backend.set_by.insert("retryConstraint".into(), self.by.clone());
        }
        if self.session.is_some() && backend.session.is_none() {
            backend.session = self.session;
            backend.set_by.insert("sessionPersistence".into(), self.by);
        }
    }
}

/// The oldest policy of a backend. Each policy gets its say about the Gateway.
pub(super) fn of(context: &mut Context<'_>, gateway: &Gateway, target: &ObjectKey) -> Option<Traffic> {
    let policies = context.index.backend_traffic_policies(target);
    let winner = policies.iter().min_by_key(|policy| age(&policy.metadata))?;
    let mut traffic = None;
    for policy in policies {
        let compiled = compile(policy);
        let verdict = if policy.key() == winner.key() {
            compiled.as_ref().map_or_else(|message| Verdict::no("Invalid", message), |_| Verdict::Yes)
        } else {
            Verdict::no("Conflicted", format!("{} is older and targets {target}, too", winner.key()))
        };
        context.report_verdict(&policy.key(), "Accepted", &verdict);
        let yes = ("Accepted", "The policy is in force");
        context.ancestors.note(&policy.key(), &gateway.key(), || {
            vec![condition(&policy.metadata, "Accepted", &verdict, yes)]
        });
        if policy.key() == winner.key() {
            traffic = compiled.ok();
        }
    }
    traffic
}

fn compile(policy: &XBackendTrafficPolicy) -> Result<Traffic, String> {
    let by = origin(&policy.key());
    let session = match &policy.spec.session_persistence {
        Some(wanted) => {
            let compiled = session::persistence(wanted, &by, "", "spec.sessionPersistence");
            Some(compiled.map_err(|fault| fault.to_string())?)
        }
        None => None,
    };
    Ok(Traffic { budget: policy.spec.retry_constraint.as_ref().map(budget), session, by })
}

fn budget(wanted: &RetryConstraint) -> RetryBudget {
    let count = u128::from(wanted.min_retry_rate.count.unwrap_or(10));
    let interval = wanted.min_retry_rate.interval.map_or(Duration::from_secs(1), Into::into);
    // A rate below one per second is rounded up: a budget of nothing would forbid what is asked for.
    let per_second = (count * 1000).div_ceil(interval.as_millis().max(1));
    RetryBudget {
        percent: u32::from(wanted.budget.percent),
        min_per_second: u32::try_from(per_second).unwrap_or(u32::MAX),
        interval: wanted.budget.interval.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_per_second_and_rounded_up() {
        for (rate, per_second) in [
            (json!({}), 10),
            (json!({"count": 10, "interval": "1s"}), 10),
            (json!({"count": 1, "interval": "1m"}), 1),
            (json!({"count": 90, "interval": "1m"}), 2),
            (json!({"count": 5, "interval": "500ms"}), 10),
        ] {
            let wanted: RetryConstraint = serde_json::from_value(json!({"minRetryRate": rate})).unwrap();
            let budget = budget(&wanted);
            assert_eq!(budget.min_per_second, per_second, "{rate}");
            assert_eq!((budget.percent, budget.interval), (20, Duration::from_secs(10)));
        }
    }
}
