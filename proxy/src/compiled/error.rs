//! Why a snapshot cannot be served.

/// A part of a snapshot that does not compile. The snapshot is refused as a whole (NACK) and the last good one
/// keeps serving.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{subject}: {reason}")]
pub struct CompileError {
    /// The listener, route rule or backend.
    pub subject: String,
    /// What is wrong and how to mend it.
    pub reason: String,
}

impl CompileError {
    pub(crate) fn new(subject: impl ToString, reason: impl ToString) -> Self {
        Self { subject: subject.to_string(), reason: reason.to_string() }
    }
}
