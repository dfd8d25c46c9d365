//! Query parameters: the first occurrence of a name, decoded.
//! Performance-critical path.

use std::borrow::Cow;

/// The decoded value of the first parameter called `name` (compared decoded); none if there is no such parameter.
///
/// Decoding is that of forms: `%XX` is a byte, `+` a space, a malformed escape stands for itself. A value with
/// nothing to decode is borrowed.
pub(super) fn first<'q>(query: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Decoded(key.as_bytes()).eq(name.bytes()).then(|| decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        Cow::Owned(Decoded(text.as_bytes()).collect())
    } else {
        Cow::Borrowed(text.as_bytes())
    }
}

/// The decoded bytes of a text.
struct Decoded<'t>(&'t [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        match byte {
            b'+' => Some(b' '),
            b'%' => match rest {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    self.0 = after;
                    Some(nibble(*high) << 4 | nibble(*low))
                }
                _ => Some(b'%'),
            },
            plain => Some(*plain),
        }
    }
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_is_found_and_decoded() {
        for (query, name, expected) in [
            ("a=1&a=2", "a", Some("1")),
            ("b=1&a=2", "a", Some("2")),
            ("a", "a", Some("")),
            ("a=", "a", Some("")),
            ("a=b=c", "a", Some("b=c")),
            ("a=x%20y+z", "a", Some("x y z")),
            ("%61=1", "a", Some("1")),
            ("a%5B%5d=1", "a[]", Some("1")),
            ("a=%zz%4", "a", Some("%zz%4")),
            ("A=1", "a", None),
            ("&&ab=1", "a", None),
            ("", "a", None),
            ("=1", "", Some("1")),
            ("a;b=1", "a;b", Some("1")),
        ] {
            assert_eq!(first(query, name).as_deref(), expected.map(str::as_bytes), "{query:?} {name:?}");
        }
    }

    #[test]
    fn plain_values_are_borrowed() {
        assert!(matches!(first("x=%20&a=plain", "a"), Some(Cow::Borrowed(_))));
    }
}
