//! Hop-by-hop fields: what a message says to the next hop only, and never to the one behind it.
//! Performance-critical path.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

/// What the hop-by-hop fields of a message said, after their removal.
#[derive(Debug, Default)]
pub(crate) struct Hop {
    /// The protocol that `Upgrade` asks for or grants; only if `Connection` names it.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The client takes trailers (`TE: trailers`).
    pub(crate) trailers: bool,
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes the hop-by-hop fields and those that `Connection` nominates. RFC 9110 §7.6.1.
///
/// Framing and routing fields cannot be nominated away: a client that names `Host` or `Content-Length` in
/// `Connection` would change what the next hop takes the message for.
pub(crate) fn strip(headers: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    if headers.contains_key(header::CONNECTION) {
        strip_nominated(headers, &mut hop);
    }
    if let Entry::Occupied(te) = headers.entry(header::TE) {
        hop.trailers = te.iter().any(has_trailers);
        te.remove_entry_mult();
    }
    for name in [header::TRANSFER_ENCODING, header::UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
        headers.remove(name);
    }
    hop
}

fn strip_nominated(headers: &mut HeaderMap, hop: &mut Hop) {
    let Entry::Occupied(connection) = headers.entry(header::CONNECTION) else { return };
    let (_, values) = connection.remove_entry_mult();
    for value in values.collect::<Vec<_>>() {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"upgrade") {
                hop.upgrade = headers.get(header::UPGRADE).cloned();
            } else if !is_option(token)
                && !is_kept(token)
                && let Ok(name) = HeaderName::from_bytes(token)
            {
                headers.remove(name);
            }
        }
    }
}

/// Options that are no field names.
fn is_option(token: &[u8]) -> bool {
    token.is_empty() || token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close")
}

/// Fields that `Connection` cannot take away: framing, routing, and `TE`, which [`strip`] reads itself.
fn is_kept(token: &[u8]) -> bool {
    const KEPT: [&[u8]; 6] =
        [b"host", b"content-length", b"transfer-encoding", b"te", b"authorization", b"cookie"];
    KEPT.iter().any(|kept| token.eq_ignore_ascii_case(kept))
}

fn has_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nominated_fields_go() {
        let mut headers = map(&[
            ("connection", "close, X-User,  x-secret"),
            ("x-user", "a"),
            ("x-secret", "b"),
            ("x-kept", "c"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
        ]);
        strip(&mut headers);
        assert_eq!(names(&headers), ["x-kept"]);
    }

    #[test]
    fn framing_and_host_cannot_be_nominated() {
        let mut headers =
            map(&[("connection", "host, content-length"), ("host", "a"), ("content-length", "1")]);
        strip(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host"]);
    }

    #[test]
    fn an_upgrade_counts_only_if_connection_names_it() {
        let hop = strip(&mut map(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
        assert_eq!(hop.upgrade.unwrap(), "websocket");
        let mut headers = map(&[("upgrade", "websocket")]);
        assert!(strip(&mut headers).upgrade.is_none());
        assert!(headers.is_empty());
    }

    #[test]
    fn several_connection_fields_are_read() {
        let mut headers = map(&[("connection", "x-a"), ("connection", "x-b"), ("x-a", "1"), ("x-b", "2")]);
        headers.insert("x-c", HeaderValue::from_static("3"));
        strip(&mut headers);
        assert_eq!(names(&headers), ["x-c"]);
    }

    #[test]
    fn trailers_are_remembered() {
        assert!(strip(&mut map(&[("te", "deflate;q=0.5, Trailers")])).trailers);
        assert!(!strip(&mut map(&[("te", "deflate")])).trailers);
    }
}
