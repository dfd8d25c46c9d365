//! The door: what is refused before anything is decided, and the request made canonical.
//! Performance-critical path.
//!
//! Behind it there is one `Host` field (or none), an origin-form target, a canonical path; match, filters and
//! endpoint see the same bytes.

use std::borrow::Cow;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use model::ListenerLimits;

use super::canonical::{CanonicalHost, canonical_host, canonical_path};
use super::error::Error;

/// What the door has found out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admitted {
    /// Bytes of the `Host` field that are the canonical host; 0 without a host.
    pub(crate) host: usize,
    /// The path has parameters (`;`): only a route that names them may take it.
    pub(crate) parameters: bool,
}

/// Checks the head and makes it canonical in place.
///
/// # Errors
/// The request is ambiguous, oversized, or of a method that is never served.
pub(crate) fn admit(parts: &mut Parts, limits: &ListenerLimits) -> Result<Admitted, Error> {
    check_size(parts, limits)?;
    if parts.method == Method::CONNECT {
        return Err(Error::Method);
    }
    if parts.version < Version::HTTP_2 {
        check_framing(parts)?;
    }
    check_expectation(parts)?;
    let host = canonicalise_host(parts)?;
    let parameters = canonicalise_target(parts)?;
    Ok(Admitted { host, parameters })
}

fn check_size(parts: &Parts, limits: &ListenerLimits) -> Result<(), Error> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    if target + authority > limits.uri_bytes as usize {
        return Err(Error::UriTooLong);
    }
    if parts.headers.len() > limits.headers as usize {
        return Err(Error::HeadersTooLarge);
    }
    // HTTP/1 heads are measured as they are read.
    if parts.version == Version::HTTP_2 && list_size(parts, target + authority) > limits.header_bytes as usize
    {
        return Err(Error::HeadersTooLarge);
    }
    Ok(())
}

/// The size of a header list as RFC 9113 §6.5.2 counts it: names, values, and 32 bytes for each field; pseudo-fields
/// by their values alone.
fn list_size(parts: &Parts, target: usize) -> usize {
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    fields.sum::<usize>() + target
}

/// RFC 9112 §6.1: what is not plainly `chunked` or one length is not taken. What [`super::framing`] sees is
/// refused by the caller.
fn check_framing(parts: &Parts) -> Result<(), Error> {
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next(), lengths.next());
    if second.is_some() {
        return Err(Error::Malformed("more than one content length"));
    }
    if length.is_some_and(|length| length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(Error::Malformed("the content length is not a number"));
    }
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let (coding, second) = (codings.next(), codings.next());
    if let Some(coding) = coding {
        if parts.version < Version::HTTP_11 {
            return Err(Error::Malformed("transfer codings need HTTP/1.1"));
        }
        if second.is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Error::Malformed("the transfer coding is not chunked"));
        }
        if length.is_some() {
            return Err(Error::Malformed("a content length beside a transfer coding"));
        }
    }
    Ok(())
}

/// RFC 9110 §10.1.1. The field is for us: hyper answers 100 once the body is read.
fn check_expectation(parts: &mut Parts) -> Result<(), Error> {
    match parts.headers.remove(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Error::Expectation),
        Some(_) | None => Ok(()),
    }
}

/// Leaves one canonical `Host` field and gives the length of the host in it.
fn canonicalise_host(parts: &mut Parts) -> Result<usize, Error> {
    const BAD: Error = Error::Malformed("the host is not valid");
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let (field, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(Error::Malformed("more than one host"));
    }
    let field = field.map(|field| field.to_str().map_err(|_| BAD)).transpose()?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let (host, as_it_stands) = match (authority, field) {
        (None, None) if parts.version == Version::HTTP_11 => return Err(Error::Malformed("no host")),
        (None, None) => return Ok(0),
        (None, Some(field)) => (canonical_host(field).map_err(|_| BAD)?, true),
        (Some(authority), None) => (canonical_host(authority).map_err(|_| BAD)?, false),
        // RFC 9112 §3.2.2 lets the target win over the field; whoever sends two hosts means two readers.
        (Some(authority), Some(field)) => {
            let host = canonical_host(authority).map_err(|_| BAD)?;
            if canonical_host(field).map_err(|_| BAD)? != host {
                return Err(Error::Malformed("the target and the host field disagree"));
            }
            (host, true)
        }
    };
    let length = host.host.len();
    if !as_it_stands || matches!(host.host, Cow::Owned(_)) || has_root_dot(field, length) {
        let value = host_value(&host)?;
        parts.headers.insert(header::HOST, value);
    }
    Ok(length)
}

/// A trailing dot is dropped by shortening, so a borrowed host can still stand before one.
fn has_root_dot(field: Option<&str>, length: usize) -> bool {
    field.is_some_and(|field| field.as_bytes().get(length) == Some(&b'.'))
}

fn host_value(host: &CanonicalHost<'_>) -> Result<HeaderValue, Error> {
    let value = match host.port {
        Some(port) => HeaderValue::try_from(format!("{}:{port}", host.host)),
        None => HeaderValue::from_str(&host.host),
    };
    value.map_err(|_| Error::Malformed("the host is not valid"))
}

/// Leaves the target in origin form with a canonical path.
fn canonicalise_target(parts: &mut Parts) -> Result<bool, Error> {
    const BAD: Error = Error::Malformed("the path is ambiguous");
    let canonical = canonical_path(parts.uri.path()).map_err(|_| BAD)?;
    if canonical.path == "*" && parts.method != Method::OPTIONS {
        return Err(Error::Malformed("only OPTIONS may ask for *"));
    }
    let parameters = canonical.parameters;
    let target = match canonical.path {
        Cow::Borrowed(_) if parts.uri.authority().is_none() && parts.uri.scheme().is_none() => {
            return Ok(parameters);
        }
        // RFC 9112 §3.2.1: without a path the target is `/`. `Uri::path` says so of an absolute target that has
        // none, but its `PathAndQuery` stays empty.
        Cow::Borrowed("/") => match parts.uri.query() {
            Some(query) => join("/".to_owned(), Some(query))?,
            None => PathAndQuery::from_static("/"),
        },
        Cow::Borrowed(_) => match parts.uri.path_and_query() {
            Some(target) => target.clone(),
            None => PathAndQuery::from_static("/"),
        },
        Cow::Owned(path) => join(path, parts.uri.query())?,
    };
    parts.uri = Uri::from(target);
    Ok(parameters)
}

/// A target of a path and the query that the request came with.
pub(crate) fn join(path: String, query: Option<&str>) -> Result<PathAndQuery, Error> {
    let mut target = path;
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target).map_err(|_| Error::Malformed("the path is not valid"))
}

#[cfg(test)]
mod tests;
