//! What is wrong with a part of a route, and which condition says so.

use std::fmt;

use api::ObjectKey;

use crate::problem::{Problem, Severity};

/// One thing that is wrong with a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Condition and reason that report it.
    pub reason: Reason,
    /// Where: `spec.rules[0].matches[1].path`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What mends it; empty if the message says so.
    pub mend: &'static str,
}

/// The reasons that a route's conditions know (Gateway API v1.7.0, `RouteConditionReason`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// `Accepted`, `PartiallyInvalid`: a value that is not served.
    UnsupportedValue,
    /// `Accepted`, `PartiallyInvalid`: filters that exclude each other.
    IncompatibleFilters,
    /// `ResolvedRefs`: another namespace's object, without a ReferenceGrant.
    RefNotPermitted,
    /// `ResolvedRefs`: an object of a kind that is not served.
    InvalidKind,
    /// `ResolvedRefs`: no such object or port.
    BackendNotFound,
    /// `ResolvedRefs`: the backend speaks something that this route cannot send.
    UnsupportedProtocol,
    /// `ResolvedRefs`: the backend asks for TLS that cannot be set up. The API names no reason of its own.
    InvalidBackendTls,
}

impl Reason {
    /// The reason as conditions spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedValue => "UnsupportedValue",
            Self::IncompatibleFilters => "IncompatibleFilters",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::InvalidKind => "InvalidKind",
            Self::BackendNotFound => "BackendNotFound",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::InvalidBackendTls => "InvalidBackendTLS",
        }
    }
}

impl Fault {
    /// A value that is not served.
    pub fn unsupported(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Reason::UnsupportedValue, field, message)
    }

    /// Filters that exclude each other.
    pub fn incompatible(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Reason::IncompatibleFilters, field, message)
    }

    /// A fault with its reason.
    pub fn new(reason: Reason, field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { reason, field: field.into(), message: message.to_string(), mend: "" }
    }

    /// The same with what mends it.
    pub fn mend(self, mend: &'static str) -> Self {
        Self { mend, ..self }
    }

    /// As a problem of `object`, which says so in `condition`.
    pub fn problem(&self, object: &ObjectKey, condition: &'static str) -> Problem {
        Problem {
            object: object.clone(),
            field: self.field.clone(),
            condition,
            reason: self.reason.as_str(),
            message: self.message.clone(),
            mend: self.mend.to_owned(),
            severity: Severity::Error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)?;
        if !self.mend.is_empty() {
            write!(f, "; {}", self.mend)?;
        }
        Ok(())
    }
}
