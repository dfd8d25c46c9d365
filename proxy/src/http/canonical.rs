//! The canonical host and path of a request: what is matched, judged and forwarded. Ambiguous ones are refused.
//! Performance-critical path.
//!
//! Two spellings of one resource get one canonical form; a spelling that servers read in different ways has
//! none, and is answered 400. The canonical form is also what the backend receives, so that nobody behind the
//! proxy sees another path than the one that was decided on.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A canonical host and the port written with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalHost<'r> {
    /// Lower case, no port, no trailing dot; an IPv6 address in brackets. Empty if the field was empty.
    pub host: Cow<'r, str>,
    /// The port, if one was written.
    pub port: Option<u16>,
}

/// A canonical path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalPath<'r> {
    /// ASCII, begins with `/` (or is `*`), no dot segments; escapes in upper case and only where needed.
    pub path: Cow<'r, str>,
    /// Whether there is a `;`. Servers disagree on whether what follows belongs to the path, so only a route that
    /// names `;` itself takes such a request.
    pub parameters: bool,
}

/// A host that cannot be told for certain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostRefusal {
    /// `user@host`: RFC 9110 §4.2.4.
    #[error("the host holds user information")]
    UserInfo,
    /// Not a number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// A character, a label or a length that no host has.
    #[error("the host is not a name or an address")]
    Name,
}

/// A path that servers read in different ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathRefusal {
    /// It does not begin with `/`.
    #[error("the path does not begin with /")]
    NotAbsolute,
    /// `%` without two hexadecimal digits, `%u…` too.
    #[error("the path holds a malformed escape")]
    Escape,
    /// `%2F`, `%5C` or `\`: a separator to some.
    #[error("the path holds an encoded slash or a backslash")]
    Separator,
    /// A control character, encoded or not.
    #[error("the path holds a control character")]
    Control,
    /// An overlong UTF-8 form: another character to some.
    #[error("the path holds an overlong UTF-8 form")]
    Overlong,
    /// `..` as a segment, in any spelling.
    #[error("the path holds a parent segment")]
    Parent,
    /// `#`, which belongs to no request target.
    #[error("the path holds a fragment")]
    Fragment,
}

/// Longest host name, RFC 1035 §2.3.4 as text.
const MAX_NAME: usize = 253;
/// Longest label, RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Makes the host of an authority (`Host`, `:authority`, SNI) canonical. One that is so already is borrowed.
///
/// # Errors
/// If it holds user information, a bad port, or is neither name nor address.
pub fn canonical_host(authority: &str) -> Result<CanonicalHost<'_>, HostRefusal> {
    if authority.contains('@') {
        return Err(HostRefusal::UserInfo);
    }
    if authority.starts_with('[') {
        return canonical_ipv6(authority);
    }
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, parse_port(port)?),
        None => (authority, None),
    };
    if name.is_empty() && port.is_some() {
        return Err(HostRefusal::Name);
    }
    // RFC 1034 §3.1: the dot at the end names the root, and the same host.
    let name = match name.strip_suffix('.') {
        Some("") => return Err(HostRefusal::Name),
        Some(name) => name,
        None => name,
    };
    if !name.is_empty() {
        check_name(name)?;
    }
    let folded = name.bytes().any(|b| b.is_ascii_uppercase());
    let host = if folded { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
    Ok(CanonicalHost { host, port })
}

fn canonical_ipv6(authority: &str) -> Result<CanonicalHost<'_>, HostRefusal> {
    let (bracketed, rest) = authority.split_at(authority.find(']').ok_or(HostRefusal::Name)? + 1);
    let port = match rest.strip_prefix(':') {
        Some(port) => parse_port(port)?,
        None if rest.is_empty() => None,
        None => return Err(HostRefusal::Name),
    };
    let literal = bracketed.trim_start_matches('[').trim_end_matches(']');
    // Zones (RFC 6874) mean nothing beyond the sender's own machine, and do not parse.
    let address: Ipv6Addr = literal.parse().map_err(|_| HostRefusal::Name)?;
    let text = format!("[{address}]");
    let host = if text == bracketed { Cow::Borrowed(bracketed) } else { Cow::Owned(text) };
    Ok(CanonicalHost { host, port })
}

fn parse_port(text: &str) -> Result<Option<u16>, HostRefusal> {
    // RFC 3986 §3.2.3 allows an empty port; a sign, which `parse` would take, it does not.
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HostRefusal::Port);
    }
    text.parse().map(Some).map_err(|_| HostRefusal::Port)
}

fn check_name(name: &str) -> Result<(), HostRefusal> {
    if name.len() > MAX_NAME {
        return Err(HostRefusal::Name);
    }
    for label in name.split('.') {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if label.is_empty() || label.len() > MAX_LABEL || !plain {
            return Err(HostRefusal::Name);
        }
    }
    // WHATWG URL §3.5: what ends in a number is an IPv4 address or nothing; `0x7f.1` and `2130706433` are
    // addresses to some and names to others.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || is_hex_number(last);
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(HostRefusal::Name);
    }
    Ok(())
}

fn is_hex_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Makes a path canonical (RFC 3986 §6.2.2). One that is so already is borrowed.
///
/// Unreserved characters are decoded, other escapes get upper case digits, what needs an escape gets one, `.`
/// segments go. `//` stays: it is another path. `*` (RFC 9112 §3.2.4) stays alone.
///
/// # Errors
/// If servers may read the path in different ways.
pub fn canonical_path(path: &str) -> Result<CanonicalPath<'_>, PathRefusal> {
    if path == "*" {
        return Ok(CanonicalPath { path: Cow::Borrowed(path), parameters: false });
    }
    if !path.starts_with('/') {
        return Err(PathRefusal::NotAbsolute);
    }
    let path = match plain_length(path) {
        length if length == path.len() => Cow::Borrowed(path),
        length => Cow::Owned(rewrite(path, length)?),
    };
    let path = match dot_segments(&path)? {
        Some(without) => Cow::Owned(without),
        None => path,
    };
    let parameters = path.contains(';');
    Ok(CanonicalPath { path, parameters })
}

/// How many bytes in front are canonical as they stand.
fn plain_length(path: &str) -> usize {
    let mut rest = path.as_bytes();
    loop {
        match rest {
            [b'%', high, low, after @ ..] if is_settled_escape(*high, *low) => rest = after,
            [byte, after @ ..] if is_plain(*byte) => rest = after,
            _ => return path.len() - rest.len(),
        }
    }
}

/// Whether an escape is spelled as it should be and is neither refused nor the start of a form that may be.
fn is_settled_escape(high: u8, low: u8) -> bool {
    if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
        return false;
    }
    let settled =
        |byte| !is_unreserved(byte) && check_byte(byte, true, 0).is_ok() && !matches!(byte, 0xe0 | 0xf0);
    hex(high, low).is_some_and(settled)
}

/// RFC 3986 §3.3: `pchar` without escapes, and `/`.
fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or(false)
}

static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
        {
            table[byte] = is_unreserved(b)
                || matches!(b, b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*')
                || matches!(b, b'+' | b',' | b';' | b'=');
        }
        byte += 1;
    }
    table
};

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The path with canonical escapes; the first `plain` bytes are.
fn rewrite(path: &str, plain: usize) -> Result<String, PathRefusal> {
    let mut out = String::with_capacity(path.len() + 8);
    let (head, tail) = path.split_at_checked(plain).unwrap_or((path, ""));
    out.push_str(head);
    let mut rest = tail.as_bytes();
    // The lead byte of a UTF-8 form whose next byte tells whether it is overlong.
    let mut lead = 0;
    while let [byte, after @ ..] = rest {
        let (byte, escaped) = match (*byte, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                (hex(*high, *low).ok_or(PathRefusal::Escape)?, true)
            }
            (b'%', _) => return Err(PathRefusal::Escape),
            (byte, after) => {
                rest = after;
                (byte, false)
            }
        };
        check_byte(byte, escaped, lead)?;
        lead = byte;
        if is_unreserved(byte) || (!escaped && is_plain(byte)) {
            out.push(char::from(byte));
        } else {
            push_escape(&mut out, byte);
        }
    }
    Ok(out)
}

fn check_byte(byte: u8, escaped: bool, lead: u8) -> Result<(), PathRefusal> {
    match byte {
        0..=0x1f | 0x7f => Err(PathRefusal::Control),
        b'\\' => Err(PathRefusal::Separator),
        b'/' if escaped => Err(PathRefusal::Separator),
        b'#' if !escaped => Err(PathRefusal::Fragment),
        // RFC 3629 §3: two bytes for ASCII; three bytes for what fits two; four for what fits three.
        0xc0 | 0xc1 => Err(PathRefusal::Overlong),
        0x80..=0x9f if lead == 0xe0 => Err(PathRefusal::Overlong),
        0x80..=0x8f if lead == 0xf0 => Err(PathRefusal::Overlong),
        _ => Ok(()),
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn push_escape(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase();
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 0xf));
}

/// Refuses `..` segments and takes `.` segments out; none if there are none.
///
/// `..;x` is refused as well: a server that cuts parameters off sees `..` (`.;x` likewise, though it is harmless).
fn dot_segments(path: &str) -> Result<Option<String>, PathRefusal> {
    if !path.contains("/.") {
        return Ok(None);
    }
    let mut found = false;
    for segment in path.split('/') {
        match segment.split(';').next() {
            Some("..") => return Err(PathRefusal::Parent),
            Some(".") if segment == "." => found = true,
            Some(".") => return Err(PathRefusal::Parent),
            _ => {}
        }
    }
    if !found {
        return Ok(None);
    }
    // RFC 3986 §5.2.4: `/./` is `/`, and `/.` at the end leaves its slash.
    let mut out = String::with_capacity(path.len());
    for segment in path.split('/').skip(1).filter(|segment| *segment != ".") {
        out.push('/');
        out.push_str(segment);
    }
    if path.ends_with("/.") {
        out.push('/');
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests;
