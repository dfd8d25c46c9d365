//! The gRPC form: `envoy.service.auth.v3.Authorization/Check`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use prost::Message;

use super::Answer;
use super::message::{
    self, AttributeContext, CheckRequest, CheckResponse, HeaderValueOption, HttpRequest, Peer,
};
use super::verdict::{Edits, HeaderEdit, How, Verdict};
use crate::http::body::RequestBody;
use crate::http::exchange::{Exchange, X_REQUEST_ID};
use crate::http::inbound::Inbound;
use crate::http::respond::{self, Dialect};

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
/// A gRPC message's frame: a flag and a length (gRPC over HTTP/2, Length-Prefixed-Message).
const FRAME: usize = 5;

/// The question.
pub(super) fn question(
    allowed: &[HeaderName],
    body: Bytes,
    inbound: &Inbound,
    exchange: &Exchange,
) -> Result<Request<RequestBody>, Arc<str>> {
    let check = CheckRequest { attributes: Some(attributes(allowed, body, inbound, exchange)) };
    let length = check.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).map_err(|_| "the question is too long")?);
    check.encode(&mut frame).map_err(|error| error.to_string())?;
    let mut request = Request::new(RequestBody::full(frame.freeze()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(METHOD);
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(
        header::HOST,
        inbound.parts.headers.get(header::HOST).cloned().unwrap_or(HeaderValue::from_static("ext-authz")),
    );
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    Ok(request)
}

fn attributes(
    allowed: &[HeaderName],
    body: Bytes,
    inbound: &Inbound,
    exchange: &Exchange,
) -> AttributeContext {
    let connection = &exchange.connection;
    let tls = connection.tls.as_ref();
    let since = connection.core.wall(exchange.start).duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = message::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    };
    let principal = tls.and_then(|tls| tls.peer_id.as_deref()).unwrap_or_default();
    AttributeContext {
        source: Some(peer(connection.remote, principal)),
        destination: Some(peer(connection.local, "")),
        request: Some(message::Request {
            time: Some(time),
            http: Some(http(allowed, body, inbound, exchange)),
        }),
        tls_session: tls
            .and_then(|tls| tls.server_name.as_deref())
            .map(|sni| message::TlsSession { sni: sni.into() }),
    }
}

fn http(allowed: &[HeaderName], body: Bytes, inbound: &Inbound, exchange: &Exchange) -> HttpRequest {
    let parts = &inbound.parts;
    let text = |name: &HeaderName| parts.headers.get(name).map(lossy).unwrap_or_default();
    let length = text(&header::CONTENT_LENGTH).parse().unwrap_or(-1);
    let size = if body.is_empty() { length } else { i64::try_from(body.len()).unwrap_or(i64::MAX) };
    let (body, raw_body) = match std::str::from_utf8(&body) {
        Ok(text) => (text.to_owned(), Bytes::new()),
        Err(_) => (String::new(), body),
    };
    HttpRequest {
        id: text(&X_REQUEST_ID),
        method: parts.method.to_string(),
        headers: headers(allowed, &parts.headers),
        path: parts.uri.to_string(),
        host: text(&header::HOST),
        scheme: exchange.connection.client.scheme.into(),
        size,
        protocol: format!("{:?}", parts.version),
        body,
        raw_body,
    }
}

/// Fields by name; several of one name are joined, as Envoy joins them.
fn headers(allowed: &[HeaderName], headers: &HeaderMap) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| allowed.is_empty() || allowed.contains(name)) {
        let joined: &mut String = all.entry(name.as_str().to_owned()).or_default();
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&lossy(value));
    }
    all
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn peer(address: SocketAddr, principal: &str) -> Peer {
    let socket_address =
        message::SocketAddress { address: address.ip().to_string(), port_value: address.port().into() };
    Peer {
        address: Some(message::Address { socket_address: Some(socket_address) }),
        principal: principal.to_owned(),
    }
}

/// What the answer says.
///
/// # Errors
/// It is no answer: the call failed, or is malformed.
pub(super) fn verdict(answer: &Answer, dialect: Dialect) -> Result<Verdict, Arc<str>> {
    if answer.head.status != StatusCode::OK {
        return Err(format!("the call was answered by HTTP {}", answer.head.status.as_u16()).into());
    }
    let status = answer.trailers.as_ref().unwrap_or(&answer.head.headers).get("grpc-status");
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") => {}
        Some(status) => {
            return Err(format!("the call failed with status {}", String::from_utf8_lossy(status)).into());
        }
        None => return Err("the call has no status".into()),
    }
    let check = decode(&answer.body)?;
    // google.rpc.Code.OK is 0, and a message that leaves the status out says it too (Envoy reads it so).
    if check.status.map_or(0, |status| status.code) != 0 {
        return Ok(Verdict::Deny(denial(check.denied.unwrap_or_default(), dialect)));
    }
    let ok = check.ok.unwrap_or_default();
    Ok(Verdict::Allow(Edits {
        headers: ok.headers.iter().filter_map(edit).collect(),
        remove: ok.headers_to_remove.iter().filter_map(|name| name.parse().ok()).collect(),
        response: ok.response_headers_to_add.iter().filter_map(edit).collect(),
        set_query: ok.query_parameters_to_set.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        remove_query: ok.query_parameters_to_remove,
    }))
}

fn decode(body: &[u8]) -> Result<CheckResponse, Arc<str>> {
    let Some((&[compressed, a, b, c, d], message)) = body.split_first_chunk() else {
        return Err("the answer is cut short".into());
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if compressed != 0 || message.len() != length {
        return Err("the answer is not one plain message".into());
    }
    CheckResponse::decode(message).map_err(|error| error.to_string().into())
}

fn denial(denied: message::DeniedHttpResponse, dialect: Dialect) -> Response<Bytes> {
    let code = denied.status.and_then(|status| StatusCode::from_u16(u16::try_from(status.code).ok()?).ok());
    let status = code.filter(|code| code.as_u16() >= 200).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = respond::message(status, Bytes::from(denied.body), dialect);
    denied.headers.iter().filter_map(edit).for_each(|edit| edit.apply(response.headers_mut()));
    response
}

/// Envoy: `append` decides where it is given, else the action; and without either a field is replaced.
fn edit(option: &HeaderValueOption) -> Option<HeaderEdit> {
    let header = option.header.as_ref()?;
    let how = match (option.append, option.append_action) {
        (Some(append), _) if append.value => How::Append,
        (Some(_), _) => How::Set,
        (None, message::ADD_IF_ABSENT) => How::IfAbsent,
        (None, message::OVERWRITE_IF_EXISTS) => How::IfPresent,
        (None, _) => How::Set,
    };
    let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    HeaderEdit::new(&header.key, value, how)
}
