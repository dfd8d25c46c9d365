//! JSON values that follow each other without a marker between them, as some tools write them.

use super::small;
use crate::decode::node::Position;

/// The parts of `text`, and where each begins: one for each JSON object if it is several of them, otherwise the text as it is.
pub(super) fn split(text: &str) -> Vec<(Position, &str)> {
    let first = Position { line: 1, column: 1 };
    let mut parts = Vec::new();
    let mut at = first;
    let mut rest = text;
    loop {
        let blank = rest.len() - rest.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
        let (skipped, value) = rest.split_at(blank);
        if value.is_empty() {
            break;
        }
        let Some(length) = json_object_length(value) else { return vec![(first, text)] };
        at = after(at, skipped);
        let (object, remainder) = value.split_at(length);
        parts.push((at, object));
        at = after(at, object);
        rest = remainder;
    }
    if parts.len() > 1 { parts } else { vec![(first, text)] }
}

/// Length in bytes of the `{…}` that `text` begins with, if it is closed.
fn json_object_length(text: &str) -> Option<usize> {
    if !text.starts_with('{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn after(at: Position, text: &str) -> Position {
    let breaks = text.bytes().filter(|byte| *byte == b'\n').count();
    let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
    if breaks == 0 {
        Position { line: at.line, column: at.column.saturating_add(small(last)) }
    } else {
        Position { line: at.line.saturating_add(small(breaks)), column: small(last).saturating_add(1) }
    }
}
