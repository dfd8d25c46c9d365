//! How results are printed: tables for people, JSON for programs.

pub(crate) mod findings;
pub(crate) mod rows;
pub(crate) mod statuses;
pub(crate) mod table;

use std::io::{ErrorKind, Write};

use serde::Serialize;

/// Prints JSON for programs.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("our own types have string keys only");
    line(&text);
}

/// Prints a line on standard output.
pub(crate) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints on standard output. A reader that has seen enough (`| head`) ends the program quietly.
pub(crate) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => tracing::warn!(%error, "Standard output cannot be written"),
        Ok(()) => {}
    }
}
