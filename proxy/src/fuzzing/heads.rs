//! HTTP/1 heads: what the scanner and the door make of bytes, against what the HTTP/1 parser reads.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use model::ListenerLimits;

use crate::http::canonical::canonical_path;
use crate::http::door::admit;
use crate::http::framing::HeadScan;

/// Request heads: the scanner tells the heads with two lengths as the parser sees them, however the bytes are
/// cut; behind the door a head is canonical for good.
pub fn request_heads(bytes: &[u8]) {
    let heads = read_heads(bytes);
    let expected: Vec<bool> = heads.iter().map(|head| head.lengths > 1).collect();
    assert_eq!(scan(bytes.chunks(bytes.len().max(1)), expected.len()), expected, "in one piece");
    assert_eq!(scan(bytes.chunks(1), expected.len()), expected, "byte by byte");
    for head in heads {
        if let Some(parts) = head.parts {
            behind_the_door(parts);
        }
    }
}

fn scan<'b>(pieces: impl Iterator<Item = &'b [u8]>, heads: usize) -> Vec<bool> {
    let scan = HeadScan::default();
    pieces.for_each(|piece| scan.read(piece));
    (0..heads).map(|_| scan.take()).collect()
}

/// A head that the parser takes.
struct Head {
    lengths: usize,
    /// As the door sees it; none if hyper has refused it before.
    parts: Option<Parts>,
}

/// Heads one behind the other, as far as hyper would read them: up to one that ends the connection, or whose
/// body has no length.
fn read_heads(mut bytes: &[u8]) -> Vec<Head> {
    let mut heads = Vec::new();
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return heads };
        let body = body_length(&request);
        let lengths = request.headers.iter().filter(|field| is_length(field)).count();
        heads.push(Head { lengths, parts: parts(&request) });
        let next = body.filter(|_| lengths < 2).and_then(|body| length.checked_add(body));
        match next.and_then(|next| bytes.get(next..)) {
            Some(rest) => bytes = rest,
            None => return heads,
        }
    }
}

fn is_length(field: &httparse::Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case("content-length") || field.name.eq_ignore_ascii_case("transfer-encoding")
}

/// None: chunked, or a length that hyper refuses.
fn body_length(request: &httparse::Request<'_, '_>) -> Option<usize> {
    let mut body = 0;
    for field in request.headers.iter().filter(|field| is_length(field)) {
        let plain =
            field.name.eq_ignore_ascii_case("content-length") && field.value.iter().all(u8::is_ascii_digit);
        body = std::str::from_utf8(field.value).ok().filter(|_| plain)?.parse().ok()?;
    }
    Some(body)
}

fn parts(request: &httparse::Request<'_, '_>) -> Option<Parts> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(request.method?.as_bytes()).ok()?;
    parts.uri = Uri::try_from(request.path?).ok()?;
    if request.version? == 0 {
        parts.version = http::Version::HTTP_10;
    }
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        parts.headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(parts)
}

fn behind_the_door(mut parts: Parts) {
    let limits = ListenerLimits::default();
    let Ok(admitted) = admit(&mut parts, &limits) else { return };
    assert!(parts.headers.get_all(header::HOST).iter().count() <= 1, "two hosts behind the door");
    assert!(parts.uri.authority().is_none(), "{} is not in origin form", parts.uri);
    let path = parts.uri.path().to_owned();
    assert_eq!(canonical_path(&path).expect("it is canonical").path, path, "the path is not canonical");
    let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
    let again = admit(&mut parts, &limits).expect("what was let in is let in again");
    assert_eq!((again.host, again.parameters), (admitted.host, admitted.parameters));
    assert_eq!((parts.uri, parts.headers), (uri, headers), "the door changes what it has made canonical");
}
