//! Cross-origin resource sharing: answers preflights, and says on other answers who may read them.
//! Fetch standard §3.2; GEP-1767.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::compiled::{CompiledCors, CorsList};

/// Who asks to share an answer.
#[derive(Debug, Default)]
pub(crate) enum Sharing {
    /// Nobody.
    #[default]
    Unasked,
    /// This origin.
    With(HeaderValue),
    /// A preflight asked, and has its answer.
    Answered,
}

impl Sharing {
    pub(super) fn with(origin: Option<&HeaderValue>) -> Self {
        origin.cloned().map_or(Self::Unasked, Self::With)
    }
}

/// The answer to a preflight; none if the request is not one.
///
/// An origin that may not ask gets the same answer without the headers that would let it: the browser refuses.
pub(super) fn preflight(
    cors: &CompiledCors,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Response<Bytes>> {
    let origin = headers.get(header::ORIGIN)?;
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    vary(answer, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if allow_origin(cors, origin, answer) {
        let asked_headers = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        list(
            answer,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            &cors.allow_methods,
            cors.allow_credentials,
            Some(asked),
        );
        list(
            answer,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &cors.allow_headers,
            cors.allow_credentials,
            asked_headers,
        );
        list(
            answer,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &cors.expose_headers,
            cors.allow_credentials,
            None,
        );
        if let Some(max_age) = &cors.max_age {
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
    }
    Some(response)
}

/// Says on an answer who may read it. What the endpoint said of it gives way: the route decides.
pub(super) fn decorate(cors: &CompiledCors, sharing: &Sharing, answer: &mut HeaderMap) {
    if matches!(sharing, Sharing::Answered) {
        return;
    }
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
    ] {
        answer.remove(name);
    }
    if !cors.origins.any || cors.allow_credentials {
        vary(answer, "Origin");
    }
    let Sharing::With(origin) = sharing else { return };
    if allow_origin(cors, origin, answer) {
        list(
            answer,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &cors.expose_headers,
            cors.allow_credentials,
            None,
        );
    }
}

fn allow_origin(cors: &CompiledCors, origin: &HeaderValue, answer: &mut HeaderMap) -> bool {
    if !origin.to_str().is_ok_and(|origin| cors.origins.allows(origin)) {
        return false;
    }
    // With credentials a browser takes no `*`: the concrete origin is named (Fetch §3.2.5).
    let star = cors.origins.any && !cors.allow_credentials;
    let value = if star { HeaderValue::from_static("*") } else { origin.clone() };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if cors.allow_credentials {
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}

/// A list as configured; for `*` with credentials what was asked for, and nothing if nothing was.
fn list(
    answer: &mut HeaderMap,
    name: HeaderName,
    list: &CorsList,
    credentials: bool,
    asked: Option<&HeaderValue>,
) {
    let value = match (list.any, credentials) {
        (true, true) => asked.cloned(),
        (true, false) => Some(HeaderValue::from_static("*")),
        (false, _) => list.value.clone(),
    };
    if let Some(value) = value {
        answer.insert(name, value);
    }
}

fn vary(answer: &mut HeaderMap, names: &'static str) {
    answer.append(header::VARY, HeaderValue::from_static(names));
}
