//! YAML (and JSON, which is YAML) into one [`Node`] tree per document.
//!
//! A document that cannot be read costs nothing but itself: the parser goes on at the next document marker.

mod builder;
mod json;

use granit_parser::{Options, Parser, options};

use self::builder::{Builder, Flow};
use super::node::{Node, Position};
use super::problem::{DecodeProblem, Reason, Severity};

/// How much is read of a source.
struct Bounds {
    /// Longest source, in bytes.
    source: usize,
    /// Most values in one document.
    nodes: usize,
    /// Most bytes that anchors and aliases may add to one document.
    aliased: usize,
}

/// A file that lists a whole cluster's routes is some ten megabytes, a list of 20,000 objects some 2,000,000 values; aliases may add what
/// an API server takes as a whole.
const BOUNDS: Bounds = Bounds { source: 64 << 20, nodes: 2_000_000, aliased: 3 << 20 };

/// Deepest nesting. The deepest Gateway API field is at 12.
const MAX_DEPTH: usize = 100;

/// One document of a source.
pub(super) struct Parsed<'t> {
    pub(super) result: Result<Node<'t>, Unreadable<'t>>,
}

/// A document that is not YAML, and as much of it as was read.
pub(super) struct Unreadable<'t> {
    pub(super) problem: DecodeProblem,
    pub(super) partial: Option<Node<'t>>,
}

/// All documents of `text`, in order. Empty documents are left out.
pub(super) fn read(text: &str) -> Vec<Parsed<'_>> {
    read_within(text, &BOUNDS)
}

fn read_within<'t>(text: &'t str, bounds: &Bounds) -> Vec<Parsed<'t>> {
    if text.len() > bounds.source {
        let message = format!("the source is {} bytes long: at most {} are read", text.len(), bounds.source);
        let problem = problem(
            Position { line: 1, column: 1 },
            String::new(),
            Reason::TooLarge,
            message,
            "Split it into several files",
        );
        return vec![Parsed { result: Err(Unreadable { problem, partial: None }) }];
    }
    let mut documents = Vec::new();
    for (start, part) in json::split(text) {
        read_documents(part, start, bounds, &mut documents);
    }
    documents
}

fn read_documents<'t>(text: &'t str, start: Position, bounds: &Bounds, documents: &mut Vec<Parsed<'t>>) {
    let mut parser = Parser::new_from_str_with_options(text, parser_options());
    loop {
        let mut builder = Builder::new(start, bounds);
        let outcome = loop {
            match parser.next_event() {
                None => break Ok(Flow::End),
                Some(Err(error)) => break Err(builder.scan_problem(&error)),
                Some(Ok((event, span))) => match builder.take(event, span) {
                    Ok(Flow::More) => {}
                    other => break other,
                },
            }
        };
        match outcome {
            Ok(Flow::More | Flow::Document) => {
                documents.extend(builder.root.map(|node| Parsed { result: Ok(node) }))
            }
            Ok(Flow::End) => return,
            Err(problem) => {
                documents.push(Parsed {
                    result: Err(Unreadable { problem: *problem, partial: builder.partial() }),
                });
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    return;
                }
            }
        }
    }
}

fn parser_options() -> Options {
    options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        // JSON keys may be as long as an annotation; the default of 1,024 characters is YAML's bound for keys on one line.
        simple_key_max_lookahead: 4096,
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn problem(
    at: Position,
    path: String,
    reason: Reason,
    message: impl Into<String>,
    mend: &str,
) -> DecodeProblem {
    DecodeProblem {
        path,
        line: at.line,
        column: at.column,
        reason,
        message: message.into(),
        mend: mend.to_owned(),
        severity: Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_values_and_aliases_are_bounded() {
        let bounds = Bounds { source: 1000, nodes: 100, aliased: 100 };
        let mut laughs = String::from("a0: &a0 [lol, lol, lol]\n");
        for level in 1..12 {
            laughs.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1));
        }
        for (text, expected) in [
            (" ".repeat(1001), Some("the source is 1001 bytes long: at most 1000 are read")),
            (format!("[{}]", "a,".repeat(99)), None),
            (format!("[{}]", "a,".repeat(100)), Some("more than 100 values in one document")),
            (format!("[{}]\n---\n[{}]", "a,".repeat(99), "a,".repeat(99)), None),
            (laughs, Some("anchors and aliases add more than 100 bytes")),
            ("a: &a 1\nb: [*a, *a]\n".to_owned(), None),
        ] {
            let documents = read_within(&text, &bounds);
            let found = documents.iter().find_map(|document| document.result.as_ref().err());
            assert_eq!(found.map(|unreadable| unreadable.problem.message.as_str()), expected);
        }
    }
}
