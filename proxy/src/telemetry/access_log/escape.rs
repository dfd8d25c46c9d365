//! Escaping of bytes from the wire: what a client sends must not end a line or move a terminal's cursor.

/// Appends `bytes` as the inside of a JSON string. Control characters (C0, DEL and C1, so no ANSI sequence
/// survives) become `\u00XX`; bytes that are not UTF-8 become U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    escape(out, bytes, |out, c| match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c => hex(out, b"\\u00", c),
    });
}

/// Appends `bytes` to a text line. Control characters, quotes and backslashes become `\xXX`; bytes that are
/// not UTF-8 become U+FFFD.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    escape(out, bytes, |out, c| hex(out, b"\\x", c));
}

fn escape(out: &mut Vec<u8>, bytes: &[u8], special: impl Fn(&mut Vec<u8>, char)) {
    // Nearly every value is printable ASCII without quotes: one scan, one copy.
    if bytes.iter().all(|byte| matches!(byte, 0x20..0x7f) && *byte != b'"' && *byte != b'\\') {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        let mut buffer = [0; 4];
        for c in chunk.valid().chars() {
            if c.is_control() || c == '"' || c == '\\' {
                special(out, c);
            } else {
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Control characters lie below U+00A0: two digits do.
fn hex(out: &mut Vec<u8>, prefix: &[u8], c: char) {
    let digit = |value: u32| char::from_digit(value, 16).map_or(b'0', |digit| digit as u8);
    let code = c as u32;
    out.extend_from_slice(prefix);
    out.push(digit((code >> 4) & 0xf));
    out.push(digit(code & 0xf));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(escape: fn(&mut Vec<u8>, &[u8]), input: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, input);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_dangerous_survives_in_json() {
        for (input, expected) in [
            (&b"plain /a?b=c"[..], "plain /a?b=c"),
            (b"a\r\n{\"fake\":1}", "a\\r\\n{\\\"fake\\\":1}"),
            (b"\x1b[31mred\x07\x7f", "\\u001b[31mred\\u0007\\u007f"),
            ("\u{9b}31m".as_bytes(), "\\u009b31m"),
            (b"back\\slash\ttab", "back\\\\slash\\ttab"),
            (b"bad\xff\xfeutf8", "bad\u{fffd}\u{fffd}utf8"),
            ("grüße".as_bytes(), "grüße"),
        ] {
            assert_eq!(run(json, input), expected);
            let parsed: serde_json::Value =
                serde_json::from_str(&format!("\"{}\"", run(json, input))).unwrap();
            assert_eq!(parsed.as_str().unwrap(), String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn nothing_dangerous_survives_in_text() {
        for (input, expected) in [
            (&b"a\r\nfake line"[..], "a\\x0d\\x0afake line"),
            (b"quote\" \"-\"", "quote\\x22 \\x22-\\x22"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"\x00", "\\x00"),
        ] {
            assert_eq!(run(text, input), expected);
        }
    }
}
