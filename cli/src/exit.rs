//! Exit codes, the same for every verb: 0 fine, 1 errors in objects, 2 usage, 3 unreachable, 64 settings.

use std::fmt;
use std::process::ExitCode;

/// Errors were found in objects.
pub(crate) const FOUND_ERRORS: u8 = 1;

/// Why a verb could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A setting that cannot be: a folder that is not there, an address in use.
    Settings(String),
    /// Somebody else does not answer.
    Unreachable(String),
    /// The call itself is wrong in a way that only shows when it runs.
    Usage(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Settings(_) => 64,
        })
    }
}

/// An error and what is behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) | Self::Unreachable(text) | Self::Usage(text) => f.write_str(text),
        }
    }
}
