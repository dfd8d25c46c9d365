//! What an authorisation server may change, and what not.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, Uri};

use crate::http::door::join;
use crate::http::error::Error;

/// What the server has said.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The request passes, with these edits.
    Allow(Edits),
    /// It is answered so.
    Deny(Response<Bytes>),
}

/// Edits of a request that passes.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) headers: Vec<HeaderEdit>,
    pub(super) remove: Vec<HeaderName>,
    /// Edits of the answer.
    pub(super) response: Vec<HeaderEdit>,
    pub(super) set_query: Vec<(String, String)>,
    pub(super) remove_query: Vec<String>,
}

/// One field, and what becomes of those that are there.
#[derive(Clone, Debug)]
pub(crate) struct HeaderEdit {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    Set,
    Append,
    IfAbsent,
    IfPresent,
}

impl Edits {
    /// Edits the head. The query is set and taken away by name as it stands.
    pub(super) fn apply(&self, parts: &mut Parts) -> Result<(), Error> {
        for name in self.remove.iter().filter(|name| may_edit(name)) {
            parts.headers.remove(name);
        }
        self.headers.iter().for_each(|edit| edit.apply(&mut parts.headers));
        if self.set_query.is_empty() && self.remove_query.is_empty() {
            return Ok(());
        }
        let query = self.query(parts.uri.query().unwrap_or_default());
        let target = join(parts.uri.path().to_owned(), Some(&*query).filter(|query| !query.is_empty()));
        parts.uri = Uri::from(target.map_err(|_| Error::Target)?);
        Ok(())
    }

    fn query(&self, query: &str) -> String {
        let replaced = |key: &str| {
            self.remove_query.iter().any(|name| name == key)
                || self.set_query.iter().any(|(name, _)| name == key)
        };
        let key = |pair: &str| pair.split_once('=').map_or(pair, |(key, _)| key).to_owned();
        let kept =
            query.split('&').filter(|pair| !pair.is_empty() && !replaced(&key(pair))).map(str::to_owned);
        let set = self.set_query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        kept.chain(set).collect::<Vec<_>>().join("&")
    }
}

impl HeaderEdit {
    /// An edit of a field that a server may edit.
    pub(super) fn new(name: &str, value: &[u8], how: How) -> Option<Self> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(may_edit)?;
        Some(Self { name, value: HeaderValue::from_bytes(value).ok()?, how })
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let present = headers.contains_key(&self.name);
        match self.how {
            How::Append => drop(headers.append(&self.name, self.value.clone())),
            How::IfAbsent if present => {}
            How::IfPresent if !present => {}
            How::Set | How::IfAbsent | How::IfPresent => drop(headers.insert(&self.name, self.value.clone())),
        }
    }
}

/// Framing, routing and hop-by-hop fields are decided here and by nobody else.
pub(super) fn may_edit(name: &HeaderName) -> bool {
    const FIXED: [HeaderName; 8] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        HeaderName::from_static("keep-alive"),
    ];
    !FIXED.contains(name)
}

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts() -> Parts {
        let request = Request::get("/a?x=1&y=2&x=3").header("x-user", "forged").header("host", "a");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_header_is_set_appended_or_left() {
        let mut parts = parts();
        let edit = |how, value: &str| HeaderEdit::new("x-user", value.as_bytes(), how).unwrap();
        edit(How::Set, "alice").apply(&mut parts.headers);
        assert_eq!(parts.headers["x-user"], "alice");
        edit(How::IfAbsent, "bob").apply(&mut parts.headers);
        assert_eq!(parts.headers["x-user"], "alice");
        edit(How::Append, "carol").apply(&mut parts.headers);
        assert_eq!(parts.headers.get_all("x-user").iter().count(), 2);
        HeaderEdit::new("x-new", b"1", How::IfPresent).unwrap().apply(&mut parts.headers);
        assert!(!parts.headers.contains_key("x-new"));
    }

    #[test]
    fn framing_and_routing_are_not_the_servers_to_change() {
        for name in ["host", "content-length", "transfer-encoding", "connection", ":path"] {
            assert!(HeaderEdit::new(name, b"x", How::Set).is_none(), "{name}");
        }
        let mut parts = parts();
        Edits { remove: vec![header::HOST], ..Edits::default() }.apply(&mut parts).unwrap();
        assert_eq!(parts.headers[header::HOST], "a");
    }

    #[test]
    fn query_parameters_are_set_and_taken_away() {
        let mut parts = parts();
        let edits = Edits {
            set_query: vec![("z".into(), "a&b".into())],
            remove_query: vec!["x".into()],
            ..Edits::default()
        };
        edits.apply(&mut parts).unwrap();
        assert_eq!(parts.uri, "/a?y=2&z=a%26b");
    }
}
