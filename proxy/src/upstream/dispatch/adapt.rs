//! A request's line and host in the form of the connection's HTTP version. Either way round, any number of times.

use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version, header};

/// The request names no host where it needs one, or a host that is none.
#[derive(Debug)]
pub(crate) struct Unfit;

/// Origin form and `Host` (RFC 9112 §3.2).
pub(crate) fn to_http1<B>(request: &mut Request<B>) -> Result<(), Unfit> {
    *request.version_mut() = Version::HTTP_11;
    let authority =
        request.uri().authority().map(|authority| HeaderValue::from_str(without_userinfo(authority)));
    if let Some(host) = authority {
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, host.map_err(|_| Unfit)?);
        }
        // CONNECT keeps its authority form (RFC 9112 §3.2.3).
        if request.method() != Method::CONNECT {
            let mut parts = Parts::default();
            parts.path_and_query = request.uri().path_and_query().cloned().or_else(root);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Unfit)?;
        }
    }
    Ok(())
}

/// `:scheme`, `:authority` and `:path` in the URI, no `Host` (RFC 9113 §8.3.1).
pub(crate) fn to_http2<B>(request: &mut Request<B>, tls: bool) -> Result<(), Unfit> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    if request.uri().authority().is_some() && request.uri().scheme() == Some(&scheme) && host.is_none() {
        return Ok(());
    }
    let authority = match host {
        // The host that routing and filters left in `Host` wins over what the request line said.
        Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| Unfit)?,
        None => request.uri().authority().cloned().ok_or(Unfit)?,
    };
    let mut parts = Parts::default();
    parts.authority = Some(authority);
    if request.method() != Method::CONNECT {
        parts.scheme = Some(scheme);
        parts.path_and_query = request.uri().path_and_query().cloned().or_else(root);
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Unfit)?;
    Ok(())
}

fn root() -> Option<PathAndQuery> {
    Some(PathAndQuery::from_static("/"))
}

fn without_userinfo(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, uri: &str, host: Option<&'static str>) -> Request<()> {
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
        }
        request
    }

    #[test]
    fn to_http1_moves_the_authority_to_host() {
        let mut request = request(Method::GET, "https://a.example:8443/p?q", None);
        to_http1(&mut request).unwrap();
        assert_eq!(request.uri(), "/p?q");
        assert_eq!(request.headers()[header::HOST], "a.example:8443");
        assert_eq!(request.version(), Version::HTTP_11);
    }

    #[test]
    fn to_http1_keeps_a_host_that_is_there() {
        let mut request = request(Method::GET, "http://a.example/p", Some("b.example"));
        to_http1(&mut request).unwrap();
        assert_eq!(request.headers()[header::HOST], "b.example");
        assert_eq!(request.uri(), "/p");
    }

    #[test]
    fn to_http1_keeps_the_authority_form_of_connect() {
        let mut request = request(Method::CONNECT, "a.example:443", None);
        to_http1(&mut request).unwrap();
        assert_eq!(request.uri(), "a.example:443");
        assert_eq!(request.headers()[header::HOST], "a.example:443");
    }

    #[test]
    fn to_http1_keeps_the_asterisk() {
        let mut request = request(Method::OPTIONS, "*", Some("a.example"));
        to_http1(&mut request).unwrap();
        assert_eq!(request.uri(), "*");
    }

    #[test]
    fn to_http2_moves_host_to_the_authority() {
        let mut request = request(Method::GET, "/p?q", Some("a.example"));
        to_http2(&mut request, false).unwrap();
        assert_eq!(request.uri(), "http://a.example/p?q");
        assert!(!request.headers().contains_key(header::HOST));
    }

    #[test]
    fn to_http2_takes_the_scheme_of_the_connection() {
        let mut request = request(Method::GET, "https://a.example/p", None);
        to_http2(&mut request, false).unwrap();
        assert_eq!(request.uri(), "http://a.example/p");
    }

    #[test]
    fn there_and_back() {
        let mut request = request(Method::GET, "/p", Some("a.example"));
        to_http2(&mut request, true).unwrap();
        to_http1(&mut request).unwrap();
        assert_eq!(request.uri(), "/p");
        assert_eq!(request.headers()[header::HOST], "a.example");
    }

    #[test]
    fn no_host_or_a_broken_one_is_unfit_for_http2() {
        assert!(to_http2(&mut request(Method::GET, "/p", None), false).is_err());
        assert!(to_http2(&mut request(Method::GET, "/p", Some("a b")), false).is_err());
    }
}
