//! The request between the door and the endpoint: a head that is edited in place, and its body.

use std::rc::Rc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::body::source::SharedBody;
use super::body::{Meter, RequestBody};
use super::door::Admitted;
use super::filter::Sharing;
use super::filter::ext_auth::HeaderEdit;
use super::filter::path::Matched;
use super::hop::Hop;
use super::respond::Dialect;
use crate::compiled::Facts;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The head.
    pub(crate) parts: Parts,
    /// The body.
    pub(crate) payload: Payload,
    /// What the door found out.
    pub(crate) admitted: Admitted,
    /// What the hop-by-hop fields said.
    pub(crate) hop: Hop,
    /// How the client wants to be answered.
    pub(crate) dialect: Dialect,
    /// Bytes of the path that the rule's prefix match matched; none once the path was rewritten.
    pub(crate) prefix: Option<usize>,
    /// Who asks to share the answer, where a CORS filter wants to know.
    pub(crate) sharing: Sharing,
    /// What an authorisation server wants on the answer.
    pub(crate) response_edits: Vec<HeaderEdit>,
}

/// A request's body before it is sent.
#[derive(Debug)]
pub(crate) enum Payload {
    /// None, or it was taken.
    Empty,
    /// As it arrives.
    Stream(Incoming, Rc<Meter>),
    /// Shared with retries, mirrors or filters.
    Shared(SharedBody),
}

/// Nothing of an HTTP/1 body for that long: the client is too slow (reliability-security.md §1.1).
const HTTP1_BODY_IDLE: Duration = Duration::from_secs(60);
/// No byte of an HTTP/2 stream in either direction for that long.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(300);

impl Inbound {
    pub(crate) fn new(mut parts: Parts, incoming: Incoming) -> Self {
        // The way out of an upgrade is ours; what the library keeps in the head must not go upstream.
        parts.extensions = http::Extensions::new();
        let dialect = Dialect::of(&parts.headers);
        let payload = Payload::new(incoming, parts.version);
        Self {
            parts,
            payload,
            admitted: Admitted::default(),
            hop: Hop::default(),
            dialect,
            prefix: None,
            sharing: Sharing::default(),
            response_edits: Vec::new(),
        }
    }

    /// The canonical host; empty without one. Only before a rewrite.
    pub(crate) fn host(&self) -> &str {
        let field = self.parts.headers.get(header::HOST).and_then(|field| field.to_str().ok());
        field.and_then(|field| field.get(..self.admitted.host)).unwrap_or_default()
    }

    /// What a route match looks at.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            host: self.host(),
            path: self.parts.uri.path(),
            query: self.parts.uri.query(),
            method: &self.parts.method,
            headers: &self.parts.headers,
        }
    }

    /// What path edits start from.
    pub(crate) fn matched(&self) -> Matched<'_> {
        Matched { path: self.parts.uri.path(), prefix: self.prefix }
    }

    /// The protocol that the client asks to switch to. `h2c` is not one: RFC 9113 §3.1 has dropped it.
    pub(crate) fn upgrade(&self) -> Option<&HeaderValue> {
        let asked = self.hop.upgrade.as_ref()?;
        let plain = self.parts.version == Version::HTTP_11 && !asked.as_bytes().eq_ignore_ascii_case(b"h2c");
        plain.then_some(asked)
    }

    /// A copy of the head with its own body.
    pub(crate) fn copy(&self, body: RequestBody) -> Request<RequestBody> {
        Request::from_parts(self.parts.clone(), body)
    }
}

impl Payload {
    fn new(incoming: Incoming, version: Version) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let idle = if version < Version::HTTP_2 { HTTP1_BODY_IDLE } else { STREAM_IDLE };
        Self::Stream(incoming, Meter::new(idle))
    }

    /// The books of the body.
    pub(crate) fn meter(&self) -> Option<&Rc<Meter>> {
        match self {
            Self::Stream(_, meter) => Some(meter),
            Self::Empty | Self::Shared(_) => None,
        }
    }

    /// The body as one that several can read; none if there is no body.
    pub(crate) fn share(&mut self) -> Option<&SharedBody> {
        if let Self::Stream(..) = self
            && let Self::Stream(incoming, meter) = std::mem::replace(self, Self::Empty)
        {
            *self = Self::Shared(SharedBody::new(incoming, meter));
        }
        match self {
            Self::Shared(shared) => Some(shared),
            Self::Empty | Self::Stream(..) => None,
        }
    }

    /// Whether [`Self::take`] gives the whole body.
    pub(crate) fn replayable(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(..) => false,
            Self::Shared(shared) => shared.replayable(),
        }
    }

    /// The body for a try. What streams can be taken once.
    pub(crate) fn take(&mut self) -> Option<RequestBody> {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => Some(RequestBody::empty()),
            Self::Stream(incoming, meter) => Some(RequestBody::stream(incoming, meter)),
            Self::Shared(shared) => {
                let body = shared.reader();
                *self = Self::Shared(shared);
                body
            }
        }
    }
}
