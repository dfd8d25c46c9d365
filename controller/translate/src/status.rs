//! Conditions: how an object says what became of it.

use api::gateway_api::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

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

    /// The first thing that is wrong of the two.
    pub fn and(self, other: Self) -> Self {
        if self.is_yes() { other } else { self }
    }

    /// As a condition: `yes` is the reason and the message of the good case.
    pub fn condition(&self, kind: &str, generation: Option<i64>, yes: (&str, &str)) -> Condition {
        match self {
            Self::Yes => condition(kind, true, yes.0, yes.1, generation),
            Self::No { reason, message } => condition(kind, false, reason, message, generation),
        }
    }
}

/// A condition without a time: whoever writes status sets `lastTransitionTime`.
pub fn condition(
    kind: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}
