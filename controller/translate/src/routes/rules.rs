//! From the parts of a route's rules to rules of the IR: invalid ones are dropped without letting their traffic go
//! elsewhere.

use std::sync::Arc;

use model::{Action, Filter, Match, Rule};

use super::{Entry, Fault, Rank, RouteOutcome, Site};
use crate::policy::traffic;
use crate::status::Verdict;

/// A rule whose parts have been looked at.
pub(super) struct Draft<'r> {
    /// `spec.rules[].name`.
    pub(super) name: Option<&'r str>,
    /// Ways into it.
    pub(super) matches: Result<Vec<Match>, Fault>,
    /// What it does.
    pub(super) act: Result<Act, Fault>,
}

/// What a rule does.
pub(super) struct Act {
    /// Before the action.
    pub(super) filters: Vec<Filter>,
    /// The action.
    pub(super) action: Action,
    /// What the route itself says of what policies may say, too.
    pub(super) own: Own,
}

/// Which fields a rule has of its own: policies are wider.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// `timeouts.request`.
    pub(crate) request_timeout: bool,
    /// `timeouts.backendRequest`.
    pub(crate) try_timeout: bool,
    /// `retry.backoff`.
    pub(crate) backoff: bool,
}

/// Puts a route together. `status` is what a rule answers that cannot do what is written.
pub(super) fn assemble(drafts: Vec<Draft<'_>>, status: u16, site: &mut Site<'_, '_>) -> RouteOutcome {
    let mut outcome = RouteOutcome::default();
    let count = drafts.len();
    let mut faults = Vec::new();
    for (index, draft) in drafts.into_iter().enumerate() {
        let (act, is_sound) = match draft.act {
            Ok(act) => (act, true),
            Err(fault) => {
                faults.push((index, fault));
                // HTTPRouteFilter: what would have passed an invalid filter gets an error. Dropped as a whole,
                // the rule would let its traffic go to a wider rule, past what it asked for.
                let action = Action::Respond { status, body: Arc::default() };
                (Act { filters: Vec::new(), action, own: Own::default() }, false)
            }
        };
        let matches = match draft.matches {
            Ok(matches) => matches,
            Err(fault) => {
                faults.push((index, fault));
                continue;
            }
        };
        let rule = outcome.rules.len();
        let entry = |when: Match| Entry { rank: Rank::of(&when), when, rule };
        outcome.entries.extend(matches.into_iter().map(entry));
        let mut rule = Rule {
            origin: site.origin.clone(),
            index,
            name: draft.name.map(Into::into),
            filters: act.filters,
            action: act.action,
            set_by: Default::default(),
        };
        if is_sound {
            traffic::apply(&mut rule, &act.own, site);
        }
        outcome.rules.push(rule);
    }
    faults.dedup_by_key(|(index, _)| *index);
    judge(&faults, count, &mut outcome, site);
    outcome
}

/// Condition `Accepted` if no rule is left, else `PartiallyInvalid` (GEP-1364).
fn judge(faults: &[(usize, Fault)], count: usize, outcome: &mut RouteOutcome, site: &mut Site<'_, '_>) {
    let [(_, first), ..] = faults else { return };
    let all = faults.len() == count;
    for (_, fault) in faults {
        site.report(fault, if all { "Accepted" } else { "PartiallyInvalid" });
    }
    if all {
        outcome.accepted = Verdict::no(first.reason.as_str(), first.to_string());
        return;
    }
    let dropped: Vec<_> = faults.iter().map(|(index, fault)| format!("{index} ({fault})")).collect();
    outcome.partially_invalid = Some(format!("Dropped Rule {}", dropped.join(", ")));
}
