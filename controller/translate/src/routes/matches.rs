//! Matches of HTTPRoute and GRPCRoute as conditions of the IR.

use std::borrow::Cow;
use std::sync::Arc;

use api::gateway_api::{
    GrpcMethodMatch, GrpcRouteMatch, HeaderMatch, HttpRouteMatch, MatchType, PathMatch, PathMatchType,
    QueryParamMatch,
};
use model::ValueMatch;

use super::fault::Fault;

/// The matches of an HTTPRoute's rule. None written: everything.
///
/// # Errors
/// The first part that cannot be matched: a path that no canonical request has, a regular expression that does
/// not compile, a header name that is none.
pub(super) fn http(matches: &[HttpRouteMatch], field: &str) -> Result<Vec<model::Match>, Fault> {
    if matches.is_empty() {
        return Ok(vec![everything()]);
    }
    let one = |(index, wanted): (usize, &HttpRouteMatch)| {
        let field = format!("{field}.matches[{index}]");
        Ok(model::Match {
            path: Some(path(&wanted.path, &format!("{field}.path.value"))?),
            method: wanted.method.map(|method| method.as_str().into()),
            headers: headers(&wanted.headers, &field)?,
            query: query(&wanted.query_params, &field)?,
        })
    };
    matches.iter().enumerate().map(one).collect()
}

/// The matches of a GRPCRoute's rule. None written: every gRPC request.
///
/// # Errors
/// As [`http`].
pub(super) fn grpc(matches: &[GrpcRouteMatch], field: &str) -> Result<Vec<model::Match>, Fault> {
    let default = [GrpcRouteMatch::default()];
    let matches = if matches.is_empty() { default.as_slice() } else { matches };
    let one = |(index, wanted): (usize, &GrpcRouteMatch)| {
        let field = format!("{field}.matches[{index}]");
        let path = match &wanted.method {
            Some(method) => grpc_path(method, &format!("{field}.method"))?,
            None => model::PathMatch::SegmentPrefix("/".into()),
        };
        let mut headers = headers(&wanted.headers, &field)?;
        headers.push(grpc_only());
        Ok(model::Match { path: Some(path), method: None, headers, query: Vec::new() })
    };
    matches.iter().enumerate().map(one).collect()
}

fn everything() -> model::Match {
    model::Match { path: Some(model::PathMatch::SegmentPrefix("/".into())), ..model::Match::default() }
}

/// A GRPCRoute takes gRPC only, so that an HTTPRoute of the same host still gets everything else.
/// gRPC over HTTP/2: `Content-Type` starts with `application/grpc`.
fn grpc_only() -> model::HeaderMatch {
    let value = ValueMatch::Prefix("application/grpc".into());
    model::HeaderMatch { name: "content-type".into(), value }
}

fn path(wanted: &PathMatch, field: &str) -> Result<model::PathMatch, Fault> {
    match wanted.type_ {
        PathMatchType::Exact => Ok(model::PathMatch::Exact(literal_path(&wanted.value, field)?.into())),
        PathMatchType::PathPrefix => {
            let path = literal_path(&wanted.value, field)?;
            // "When specified, a trailing `/` is ignored" (PathMatchPathPrefix).
            let prefix = path.trim_end_matches('/');
            Ok(model::PathMatch::SegmentPrefix(if prefix.is_empty() { "/".into() } else { prefix.into() }))
        }
        PathMatchType::RegularExpression => Ok(model::PathMatch::Regex(regex(&wanted.value, field)?)),
    }
}

/// A path in the canonical form that requests are compared in.
fn literal_path<'a>(text: &'a str, field: &str) -> Result<Cow<'a, str>, Fault> {
    let refuse = |reason: &str| Err(Fault::unsupported(field, format_args!("{text:?} {reason}")));
    if !text.starts_with('/') {
        return refuse("must start with /");
    }
    if text.contains("//") {
        return refuse("must not contain //: requests are compared with repeated slashes left as they are");
    }
    if text.contains(['?', '#']) {
        return refuse("must be a path alone; match the query with queryParams");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return refuse("has a character that a path has in escaped form only");
    }
    let Some(path) = unescape(text) else {
        return refuse(
            "has a % that is not followed by two hexadecimal digits, or hides a / or a control character",
        );
    };
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refuse("must not contain . or .. as a segment: no canonical request has them");
    }
    Ok(path)
}

/// RFC 3986 §6.2.2: escaped unreserved characters are written plainly, other escapes in upper case. None for a
/// broken escape, and for one that hides a slash.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('%');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        match byte {
            0..=0x1f | 0x7f | b'/' | b'\\' => return None,
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                plain.push(char::from(byte));
            }
            _ => {
                plain.push('%');
                plain.push_str(&digits.to_ascii_uppercase());
            }
        }
        plain.push_str(rest);
    }
    Some(Cow::Owned(plain))
}

fn grpc_path(wanted: &GrpcMethodMatch, field: &str) -> Result<model::PathMatch, Fault> {
    let part = |part: &Option<String>| part.clone().filter(|part| !part.is_empty());
    let (service, method) = (part(&wanted.service), part(&wanted.method));
    match wanted.type_ {
        MatchType::Exact => {
            if [&service, &method].into_iter().flatten().any(|part| part.contains('/')) {
                return Err(Fault::unsupported(field, "service and method must not contain /"));
            }
            Ok(match (service, method) {
                (Some(service), Some(method)) => {
                    model::PathMatch::Exact(format!("/{service}/{method}").into())
                }
                (Some(service), None) => model::PathMatch::SegmentPrefix(format!("/{service}").into()),
                (None, Some(method)) => {
                    model::PathMatch::Regex(format!("/[^/]+/{}", ::regex::escape(&method)).into())
                }
                (None, None) => model::PathMatch::SegmentPrefix("/".into()),
            })
        }
        MatchType::RegularExpression => {
            // Each alone first: `a)|(b` is sound only within the parentheses that are put round it.
            for part in [&service, &method].into_iter().flatten() {
                regex(part, field)?;
            }
            let part =
                |part: Option<String>| part.map_or_else(|| "[^/]+".to_owned(), |part| format!("(?:{part})"));
            Ok(model::PathMatch::Regex(regex(&format!("/{}/{}", part(service), part(method)), field)?))
        }
    }
}

fn headers(wanted: &[HeaderMatch], field: &str) -> Result<Vec<model::HeaderMatch>, Fault> {
    let mut headers: Vec<model::HeaderMatch> = Vec::new();
    for (index, header) in wanted.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        let name = header_name(&header.name, &format!("{field}.name"))?;
        // "only the first entry with an equivalent name MUST be considered" (HTTPHeaderMatch).
        if headers.iter().all(|known| known.name != name) {
            let value = value(header.type_, &header.value, &format!("{field}.value"))?;
            headers.push(model::HeaderMatch { name, value });
        }
    }
    Ok(headers)
}

fn query(wanted: &[QueryParamMatch], field: &str) -> Result<Vec<model::QueryMatch>, Fault> {
    let mut query: Vec<model::QueryMatch> = Vec::new();
    for (index, parameter) in wanted.iter().enumerate() {
        let field = format!("{field}.queryParams[{index}].value");
        if query.iter().all(|known| *known.name != *parameter.name) {
            let value = value(parameter.type_, &parameter.value, &field)?;
            query.push(model::QueryMatch { name: parameter.name.as_str().into(), value });
        }
    }
    Ok(query)
}

fn value(type_: MatchType, text: &str, field: &str) -> Result<ValueMatch, Fault> {
    match type_ {
        MatchType::Exact => Ok(ValueMatch::Exact(text.into())),
        MatchType::RegularExpression => Ok(ValueMatch::Regex(regex(text, field)?)),
    }
}

/// A header's name in lower case, valid by RFC 9110 §5.1.
///
/// # Errors
/// The name is empty or has a character that a name cannot have.
pub(crate) fn header_name(name: &str, field: &str) -> Result<Arc<str>, Fault> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Fault::unsupported(field, format_args!("{name:?} is not a header name")));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// A regular expression that the proxy will be able to compile.
fn regex(text: &str, field: &str) -> Result<Arc<str>, Fault> {
    model::full_match(text).map_err(|error| Fault::unsupported(field, error))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests;
