//! Redirects: the answer that names another location.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, Uri};

use super::path::{Matched, rewrite};
use crate::compiled::CompiledRedirect;
use crate::http::error::Error;

/// What the request and its listener say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// Canonical host; empty if the request has none.
    pub(crate) host: &'a str,
    /// The listener's port as the user wrote it.
    pub(crate) port: u16,
    /// The query, without `?`.
    pub(crate) query: Option<&'a str>,
}

/// The redirect.
///
/// # Errors
/// The location is not a valid URI: a hostless request to a redirect that names no host.
pub(crate) fn answer(
    redirect: &CompiledRedirect,
    origin: Origin<'_>,
    matched: Matched<'_>,
) -> Result<Response<Bytes>, Error> {
    let location = location(redirect, origin, matched)?;
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(header::LOCATION, HeaderValue::try_from(location).map_err(|_| Error::Target)?);
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = redirect.status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn location(redirect: &CompiledRedirect, origin: Origin<'_>, matched: Matched<'_>) -> Result<String, Error> {
    let scheme = redirect.scheme.as_deref().unwrap_or(origin.scheme);
    let host = redirect.host.as_deref().unwrap_or(origin.host);
    if host.is_empty() {
        return Err(Error::Target);
    }
    // Gateway API: the port of a redirect that names a scheme is that scheme's, else the listener's.
    let port = redirect.port.or(if redirect.scheme.is_some() { None } else { Some(origin.port) });
    let path = redirect.path.as_ref().map_or(matched.path.into(), |path| rewrite(path, matched));
    let query = origin.query.map_or(0, |query| query.len() + 1);
    let mut location = String::with_capacity(scheme.len() + host.len() + path.len() + query + 9);
    location.extend([scheme, "://", host]);
    if let Some(port) = port.filter(|port| !is_default(scheme, *port)) {
        location.push(':');
        location.push_str(&port.to_string());
    }
    location.push_str(&path);
    if let Some(query) = origin.query {
        location.extend(["?", query]);
    }
    // The path and query come from a request target that was parsed, the rest from checked configuration; a URI
    // that does not parse would let the two disagree.
    location.parse::<Uri>().map_err(|_| Error::Target)?;
    Ok(location)
}

fn is_default(scheme: &str, port: u16) -> bool {
    matches!((scheme, port), ("http", 80) | ("https", 443))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use model::PathRewrite;

    use super::*;

    fn redirect(scheme: Option<&str>, host: Option<&str>, port: Option<u16>) -> CompiledRedirect {
        CompiledRedirect {
            scheme: scheme.map(Into::into),
            host: host.map(Into::into),
            port,
            path: None,
            status: StatusCode::FOUND,
        }
    }

    fn origin(scheme: &'static str, port: u16) -> Origin<'static> {
        Origin { scheme, host: "example.org", port, query: None }
    }

    const ROOT: Matched<'static> = Matched { path: "/a", prefix: None };

    #[test]
    fn ports_follow_the_specification() {
        for (redirect, origin, expected) in [
            (redirect(None, Some("b.org"), None), origin("http", 80), "http://b.org/a"),
            (redirect(None, Some("b.org"), None), origin("http", 8080), "http://b.org:8080/a"),
            (redirect(Some("https"), None, None), origin("http", 8080), "https://example.org/a"),
            (redirect(Some("http"), None, None), origin("https", 443), "http://example.org/a"),
            (redirect(Some("https"), None, Some(443)), origin("http", 80), "https://example.org/a"),
            (redirect(Some("https"), None, Some(8443)), origin("http", 80), "https://example.org:8443/a"),
            (redirect(None, None, Some(80)), origin("http", 8080), "http://example.org/a"),
            (redirect(None, None, Some(80)), origin("https", 443), "https://example.org:80/a"),
            (redirect(None, None, None), origin("https", 443), "https://example.org/a"),
            (redirect(None, None, None), origin("https", 8443), "https://example.org:8443/a"),
        ] {
            assert_eq!(location(&redirect, origin, ROOT).unwrap(), expected);
        }
    }

    #[test]
    fn path_and_query_are_kept_or_replaced() {
        let mut redirect = redirect(None, None, None);
        let origin = Origin { query: Some("q=1"), ..origin("http", 80) };
        assert_eq!(location(&redirect, origin, ROOT).unwrap(), "http://example.org/a?q=1");
        redirect.path = Some(PathRewrite::Prefix("/new".into()));
        let matched = Matched { path: "/old/x", prefix: Some(4) };
        assert_eq!(location(&redirect, origin, matched).unwrap(), "http://example.org/new/x?q=1");
    }

    #[test]
    fn a_redirect_needs_a_host() {
        let origin = Origin { host: "", ..origin("http", 80) };
        assert!(location(&redirect(Some("https"), None, None), origin, ROOT).is_err());
    }
}
