//! The HTTP form: the server gets a request with the same method and path, and lets it pass by 200.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};

use super::Answer;
use super::verdict::{Edits, HeaderEdit, How, Verdict, may_edit};
use crate::http::body::RequestBody;
use crate::http::canonical::canonical_path;
use crate::http::door::join;
use crate::http::inbound::Inbound;

/// Sent along whatever the filter says (Gateway API `HTTPAuthConfig.allowedHeaders`). Method and path are the
/// question's own; its length is that of its own body.
const ALWAYS: [HeaderName; 2] = [header::HOST, header::AUTHORIZATION];

/// The question.
pub(super) fn question(
    prefix: &str,
    allowed: &[HeaderName],
    body: Bytes,
    inbound: &Inbound,
) -> Result<Request<RequestBody>, Arc<str>> {
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = inbound.parts.method.clone();
    let path = [prefix.trim_end_matches('/'), inbound.parts.uri.path()].concat();
    let path = canonical_path(&path).map_err(|error| error.to_string())?.path.into_owned();
    *request.uri_mut() = Uri::from(join(path, inbound.parts.uri.query()).map_err(|error| error.to_string())?);
    let headers = request.headers_mut();
    for name in ALWAYS.iter().chain(allowed.iter().filter(|name| may_edit(name) && !ALWAYS.contains(name))) {
        for value in inbound.parts.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *request.body_mut() = RequestBody::full(body);
    Ok(request)
}

/// What the answer says: 200 lets pass, anything else is the client's answer.
pub(super) fn verdict(answer: Answer, allowed: &[HeaderName]) -> Verdict {
    let Answer { head, body, .. } = answer;
    if head.status == StatusCode::OK {
        let copied = head.headers.iter().filter(|(name, _)| {
            if allowed.is_empty() { !is_of_the_answer(name) } else { allowed.contains(name) }
        });
        let mut edits = Edits::default();
        for (name, value) in copied {
            // The first of several replaces what the client sent; the others stand beside it.
            let again = edits.headers.iter().any(|edit: &HeaderEdit| edit.name == *name);
            let how = if again { How::Append } else { How::Set };
            edits.headers.extend(HeaderEdit::new(name.as_str(), value.as_bytes(), how));
        }
        return Verdict::Allow(edits);
    }
    let mut response = Response::new(body);
    // A server that answers 1xx or 2xx has not allowed by 200, and must not look as if it had.
    let refusal =
        head.status.is_redirection() || head.status.is_client_error() || head.status.is_server_error();
    *response.status_mut() = if refusal { head.status } else { StatusCode::FORBIDDEN };
    let passed = head.headers.iter().filter(|(name, _)| may_edit(name) && **name != header::DATE);
    for (name, value) in passed {
        response.headers_mut().append(name, value.clone());
    }
    Verdict::Deny(response)
}

/// Fields that describe the answer's own body, which the request to the endpoint does not have.
fn is_of_the_answer(name: &HeaderName) -> bool {
    const OF_THE_ANSWER: [HeaderName; 5] =
        [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::DATE, header::SERVER, header::VARY];
    OF_THE_ANSWER.contains(name)
}
