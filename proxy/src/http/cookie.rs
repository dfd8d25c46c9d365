//! Cookies of our own: found among the client's, and made. RFC 6265bis.

use std::fmt::Write;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};

/// The first cookie of that name.
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    // HTTP/2 may split the cookies over several fields (RFC 9113 §8.2.3).
    let fields = headers.get_all(header::COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// A `Set-Cookie` value. None if the name or path cannot stand in one.
pub(crate) fn make(
    name: &str,
    value: &str,
    path: &str,
    max_age: Option<Duration>,
    secure: bool,
) -> Option<HeaderValue> {
    let path = if path.is_empty() { "/" } else { path };
    if path.contains(';') || name.contains([';', '=', ' ']) {
        return None;
    }
    let mut text = format!("{name}={value}; Path={path}");
    if let Some(max_age) = max_age {
        write!(text, "; Max-Age={}", max_age.as_secs()).ok()?;
    }
    text.push_str("; HttpOnly; SameSite=Lax");
    if secure {
        text.push_str("; Secure");
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("asid=1; sid2=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("x=y;sid=3"));
        assert_eq!(find(&headers, "sid"), Some(&b"3"[..]));
        assert_eq!(find(&headers, "si"), None);
    }

    #[test]
    fn names_and_paths_cannot_add_attributes() {
        assert_eq!(make("a;b", "1", "/", None, false), None);
        assert_eq!(make("a", "1", "/; Domain=x", None, false), None);
        assert_eq!(make("a", "1", "", None, false).unwrap(), "a=1; Path=/; HttpOnly; SameSite=Lax");
    }
}
