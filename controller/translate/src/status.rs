//! Conditions: how an object says what became of it.

use std::collections::{BTreeMap, BTreeSet};

use api::ObjectKey;
use api::gateway_api::{Condition, ListenerStatus, Time};
use k8s_openapi::jiff::Timestamp;

use crate::output::{Output, ShardName, Status};
use crate::problem::Problem;

/// What one condition is going to say: yes, or no with the first reason that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing is wrong.
    #[default]
    Yes,
    /// Something is.
    No {
        /// Reason of the condition, CamelCase.
        reason: &'static str,
        /// What is wrong and how to mend it, for people.
        message: String,
    },
}

impl Verdict {
    /// A verdict that something is wrong.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self::No { reason, message: message.into() }
    }

    /// Whether nothing is wrong.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// Keeps the first thing that is wrong.
    pub fn fail(&mut self, reason: &'static str, message: impl Into<String>) {
        if self.is_yes() {
            *self = Self::no(reason, message);
        }
    }

    /// Keeps the first thing that is wrong, and tells the owner of the object in any case.
    pub fn report(&mut self, problem: Problem, problems: &mut Vec<Problem>) {
        self.fail(problem.reason, problem.explanation());
        problems.push(problem);
    }

    /// The reason and message of what is wrong.
    pub fn failure(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Yes => None,
            Self::No { reason, message } => Some((reason, message)),
        }
    }

    /// The first thing that is wrong of the two.
    pub fn and(self, other: Self) -> Self {
        if self.is_yes() { other } else { self }
    }

    /// As a condition: `yes` is the reason and the message of the good case.
    pub fn condition(&self, kind: &str, generation: Option<i64>, yes: (&str, &str)) -> Condition {
        match self {
            Self::Yes => condition(kind, TRUE, yes.0, yes.1, generation),
            Self::No { reason, message } => condition(kind, FALSE, reason, message, generation),
        }
    }
}

/// What the proxies of a shard say of the newest snapshot that they were given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Ack {
    /// Nothing yet, or not all of them.
    #[default]
    Waiting,
    /// They serve it.
    Accepted,
    /// At least one refuses it and serves the one before.
    Rejected {
        /// Its words.
        reason: String,
    },
}

/// The statuses of Gateways and ListenerSets after the proxies have spoken: what waits for them in condition
/// `Programmed` becomes true if every shard that serves the object has accepted its snapshot, false if one has
/// rejected it. Objects that nothing changes for are left out.
pub fn programmed(output: &Output, acks: &BTreeMap<ShardName, Ack>) -> BTreeMap<ObjectKey, Status> {
    let mut changed = BTreeMap::new();
    for (object, shards) in &output.served_by {
        let Some((status, reason, message)) = verdict_of(shards, acks) else { continue };
        let settle = |conditions: &mut Vec<Condition>| {
            let waiting = conditions.iter_mut().filter(|condition| is_waiting(condition));
            waiting.for_each(|waiting| {
                waiting.status = status.to_owned();
                waiting.reason = reason.to_owned();
                waiting.message = message.clone();
            });
        };
        let settle_listeners = |listeners: &mut Vec<ListenerStatus>| {
            listeners.iter_mut().for_each(|listener| settle(&mut listener.conditions));
        };
        match output.statuses.get(object).cloned() {
            Some(Status::Gateway(mut gateway)) => {
                settle(&mut gateway.conditions);
                settle_listeners(&mut gateway.listeners);
                changed.insert(object.clone(), Status::Gateway(gateway));
            }
            Some(Status::ListenerSet(mut set)) => {
                settle(&mut set.conditions);
                settle_listeners(&mut set.listeners);
                changed.insert(object.clone(), Status::ListenerSet(set));
            }
            _ => {}
        }
    }
    changed
}

/// Status, reason and message of `Programmed`; none while a shard is waited for.
fn verdict_of(
    shards: &BTreeSet<ShardName>,
    acks: &BTreeMap<ShardName, Ack>,
) -> Option<(&'static str, &'static str, String)> {
    let mut waiting = shards.is_empty();
    for shard in shards {
        match acks.get(shard) {
            None | Some(Ack::Waiting) => waiting = true,
            Some(Ack::Accepted) => {}
            Some(Ack::Rejected { reason }) => {
                return Some((FALSE, "Invalid", format!("The proxies of shard {shard} refuse it: {reason}")));
            }
        }
    }
    (!waiting).then(|| (TRUE, PROGRAMMED, "The proxies serve it".to_owned()))
}

fn is_waiting(condition: &Condition) -> bool {
    condition.type_ == PROGRAMMED && condition.status == UNKNOWN
}

/// A condition without a time: whoever writes status sets `lastTransitionTime`.
pub fn condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// Condition status: it is so.
pub const TRUE: &str = "True";
/// Condition status: it is not so.
pub const FALSE: &str = "False";
/// Condition status: nobody can tell yet.
pub const UNKNOWN: &str = "Unknown";

const PROGRAMMED: &str = "Programmed";

#[cfg(test)]
mod tests {
    use api::gateway_api::GatewayStatus;

    use super::*;

    fn output() -> (ObjectKey, Output) {
        let key = ObjectKey::new("gateway.networking.k8s.io", "Gateway", "edge", "edge");
        let waiting = condition(PROGRAMMED, UNKNOWN, "Pending", "", Some(1));
        let refused = condition(PROGRAMMED, FALSE, "Invalid", "no certificate", Some(1));
        let listener = |conditions| ListenerStatus { conditions, ..ListenerStatus::default() };
        let status = GatewayStatus {
            conditions: vec![waiting.clone()],
            listeners: vec![listener(vec![waiting]), listener(vec![refused])],
            ..GatewayStatus::default()
        };
        let shards = BTreeSet::from([ShardName::main(), ShardName::of_gateway("edge", "edge")]);
        let output = Output {
            statuses: [(key.clone(), Status::Gateway(status))].into(),
            served_by: [(key.clone(), shards)].into(),
            ..Output::default()
        };
        (key, output)
    }

    fn programmed_of(acks: &[(ShardName, Ack)]) -> Option<Vec<(String, String)>> {
        let (key, output) = output();
        let acks = acks.iter().cloned().collect();
        let Some(Status::Gateway(status)) = programmed(&output, &acks).remove(&key) else { return None };
        let all = status.conditions.iter().chain(status.listeners.iter().flat_map(|l| &l.conditions));
        Some(all.map(|condition| (condition.status.clone(), condition.reason.clone())).collect())
    }

    fn pair(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn every_shard_must_have_accepted() {
        let main = (ShardName::main(), Ack::Accepted);
        let own = ShardName::of_gateway("edge", "edge");
        assert_eq!(programmed_of(&[]), None);
        assert_eq!(programmed_of(std::slice::from_ref(&main)), None);
        assert_eq!(programmed_of(&[main.clone(), (own.clone(), Ack::Waiting)]), None);
        let yes = pair(TRUE, "Programmed");
        assert_eq!(
            programmed_of(&[main, (own, Ack::Accepted)]),
            Some(vec![yes.clone(), yes, pair(FALSE, "Invalid")])
        );
    }

    #[test]
    fn one_refusal_is_enough() {
        let refusal = Ack::Rejected { reason: "no memory".to_owned() };
        let no = pair(FALSE, "Invalid");
        assert_eq!(programmed_of(&[(ShardName::main(), refusal)]), Some(vec![no.clone(), no.clone(), no]));
    }
}
