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

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field, message, mend, .. } = self;
        write!(formatter, "{object}")?;
        if !field.is_empty() {
            write!(formatter, " {field}")?;
        }
        write!(formatter, ": {message}")?;
        if !mend.is_empty() {
            write!(formatter, "; {mend}")?;
        }
        Ok(())
    }
}
