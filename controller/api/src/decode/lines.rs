//! Where each field of an object stands in its source.

use super::node::Position;

/// Lines of an object's fields, by path. A path that was not written (a default) has the line of the nearest field around it.
///
/// Holds a hash and a line per field rather than the path texts: a folder of thousands of routes keeps one for each object.
#[derive(Clone, Debug, Default)]
pub struct LineMap {
    /// Sorted by hash once `finish` has run.
    entries: Vec<(u64, u32, u32)>,
}

impl LineMap {
    /// Line (from 1) of the field at `path`, such as `spec.rules[0].name`, or of the nearest field around it.
    pub fn line_of(&self, path: &str) -> Option<u32> {
        self.position_of(path).map(|position| position.line)
    }

    pub(super) fn position_of(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.exact(path) {
                return Some(position);
            }
            if path.is_empty() {
                return None;
            }
            path = parent(path);
        }
    }

    pub(super) fn insert(&mut self, path: &str, at: Position) {
        self.entries.push((hash(path), at.line, at.column));
    }

    pub(super) fn finish(&mut self) {
        self.entries.sort_unstable();
        self.entries.shrink_to_fit();
    }

    fn exact(&self, path: &str) -> Option<Position> {
        let wanted = hash(path);
        let index = self.entries.binary_search_by_key(&wanted, |entry| entry.0).ok()?;
        self.entries.get(index).map(|&(_, line, column)| Position { line, column })
    }
}

/// The path without its last segment.
fn parent(path: &str) -> &str {
    let cut = if path.ends_with(']') { path.rfind('[') } else { path.rfind('.') };
    cut.and_then(|index| path.get(..index)).unwrap_or_default()
}

/// FNV-1a: short inputs, no keys from an attacker that could gain by a collision (the worst is a wrong line in a message).
fn hash(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A path that grows and shrinks with a walk.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
}

impl Path {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Adds a mapping's key: `.name`, or `[key]` where the key is not a plain word, as Kubernetes writes map keys.
    pub(super) fn push_key(&mut self, key: &str) {
        let plain = !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'));
        if plain {
            if !self.text.is_empty() {
                self.text.push('.');
            }
            self.text.push_str(key);
        } else {
            self.text.push('[');
            self.text.push_str(key);
            self.text.push(']');
        }
    }

    /// Adds what is a path already.
    pub(super) fn push_text(&mut self, path: &str) {
        self.text.push_str(path);
    }

    pub(super) fn push_index(&mut self, index: usize) {
        use std::fmt::Write;
        write!(self.text, "[{index}]").expect("writing to a String does not fail");
    }

    /// Back to an earlier [`len`](Self::len).
    pub(super) fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritten_path_has_the_line_around_it() {
        let mut lines = LineMap::default();
        for (path, line) in
            [("", 1), ("spec", 5), ("spec.rules", 6), ("spec.rules[0]", 7), ("metadata.labels[a.b/c]", 3)]
        {
            lines.insert(path, Position { line, column: 1 });
        }
        lines.finish();
        for (path, line) in [
            ("spec.rules[0]", 7),
            ("spec.rules[0].matches[0].path.type", 7),
            ("spec.rules[1].name", 6),
            ("spec.hostnames[0]", 5),
            ("metadata.labels[a.b/c]", 3),
            ("metadata.name", 1),
        ] {
            assert_eq!(lines.line_of(path), Some(line), "{path}");
        }
    }

    #[test]
    fn a_path_says_keys_as_kubernetes_does() {
        let mut path = Path::default();
        path.push_key("metadata");
        path.push_key("annotations");
        let before = path.len();
        path.push_key("diolkos.io/x");
        assert_eq!(path.as_str(), "metadata.annotations[diolkos.io/x]");
        path.truncate(before);
        path.push_index(3);
        assert_eq!(path.as_str(), "metadata.annotations[3]");
    }
}
