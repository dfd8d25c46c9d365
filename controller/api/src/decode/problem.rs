//! What can be wrong with an object, and how it is told.

use std::fmt;

/// One thing that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeProblem {
    /// Field, as `spec.rules[0].matches[1].path.value`; empty where the whole document is meant.
    pub path: String,
    /// Line in the source, from 1.
    pub line: u32,
    /// Column in the source, in characters, from 1.
    pub column: u32,
    /// Class of the problem.
    pub reason: Reason,
    /// What is wrong, without the path.
    pub message: String,
    /// What to do about it; empty where the message says it.
    pub mend: String,
    /// Whether the object is refused or merely passed over.
    pub severity: Severity,
}

impl fmt::Display for DecodeProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.message)?;
        if !self.mend.is_empty() {
            write!(out, " ({})", self.mend)?;
        }
        Ok(())
    }
}

/// Whether an object is refused or merely passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object is not for Diolkos; nothing is wrong with it.
    Notice,
    /// The object is refused.
    Error,
}

/// Class of a [`DecodeProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not YAML, or YAML that has no JSON form.
    Syntax,
    /// Too large, too deep, or too many aliases.
    TooLarge,
    /// `apiVersion` or `kind` is missing, or names something that is not read.
    UnknownKind,
    /// The kind is known, but not in this version.
    UnknownVersion,
    /// A field that the kind does not have.
    UnknownField,
    /// A field or kind of the interface that is not implemented yet.
    NotImplemented,
    /// A key that occurs twice in one mapping, or a list entry whose keys occur twice.
    Duplicate,
    /// A value of another type than the field's.
    WrongType,
    /// A required field that is absent.
    MissingField,
    /// Too small, too large, too short, too long, too few or too many.
    OutOfRange,
    /// Not one of the field's values.
    Enum,
    /// Does not match the field's pattern or format.
    Pattern,
    /// Breaks a rule of the kind: CEL, `oneOf` and its like, or what the API server's own code checks.
    Rule,
    /// A name, namespace, label or annotation that Kubernetes does not allow.
    Metadata,
}
