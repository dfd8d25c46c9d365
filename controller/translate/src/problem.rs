//! A problem: one thing that is wrong with an object, said to whoever wrote it.

use std::fmt;

use api::ObjectKey;
use serde::Serialize;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Problem {
    /// Whose problem it is.
    pub object: ObjectKey,
    /// Where in it: `spec.listeners[0].tls.certificateRefs[0]`.
    pub field: String,
    /// The status condition that says so: `ResolvedRefs`; empty if none does.
    pub condition: &'static str,
    /// That condition's reason: `InvalidCertificateRef`.
    pub reason: &'static str,
    /// What is wrong, as a sentence without a period.
    pub message: String,
    /// What to do about it, as a sentence without a period; may be empty if the message says it.
    pub mend: String,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize)]
pub enum Severity {
    /// Something that was asked for is not done.
    Error,
    /// All is done as written, but it is probably not what is meant.
    Warning,
}

impl Problem {
    /// Something that was asked for is not done, as `condition` says with `reason`.
    pub fn error(
        object: &ObjectKey,
        field: impl Into<String>,
        (condition, reason): (&'static str, &'static str),
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (object, field, message, mend) = (object.clone(), field.into(), message.into(), mend.into());
        Self { object, field, condition, reason, message, mend, severity: Severity::Error }
    }

    /// All is done as written, but it is probably not what is meant.
    pub fn warning(
        object: &ObjectKey,
        field: impl Into<String>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let problem = Self::error(object, field, ("", ""), message, mend);
        Self { severity: Severity::Warning, ..problem }
    }

    /// What is wrong and how to mend it: the message of a condition on the object itself.
    pub fn explanation(&self) -> String {
        let Self { field, message, mend, .. } = self;
        match (field.is_empty(), mend.is_empty()) {
            (true, true) => message.clone(),
            (true, false) => format!("{message}; {mend}"),
            (false, true) => format!("{field}: {message}"),
            (false, false) => format!("{field}: {message}; {mend}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.object, self.explanation())
    }
}
