//! Why a message is refused: the field, as a path from the resource, and what is wrong with it.

use std::fmt;

/// A message that is no value of the IR.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.text())]
pub struct DecodeError {
    /// The field, `protocol.http.hosts[0].server.port`; empty for the message as a whole.
    pub path: String,
    /// What is wrong with it, `is missing`.
    pub reason: String,
}

impl DecodeError {
    /// An error about the message that is being read, to be placed by [`DecodeError::at`] on the way out.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    /// The same error, seen from the message that holds this one in `field`.
    #[must_use]
    pub fn at(mut self, field: impl fmt::Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{field}{dot}{}", self.path);
        self
    }

    fn text(&self) -> String {
        match self.path.as_str() {
            "" => format!("the message {}", self.reason),
            path => format!("{path} {}", self.reason),
        }
    }
}
