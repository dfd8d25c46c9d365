//! Keeps web pages away from the admin port: a browser on the operator's machine can reach loopback too.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    /// DNS rebinding comes with the attacker's name.
    #[error("Host must be localhost or an IP address")]
    Host,
    /// A page of another site.
    #[error("requests from web pages of other sites are refused")]
    CrossSite,
}

/// Lets pass what names this port by `localhost` or an address, and does not come from another site's page.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
    if hosts.next().is_some() || !is_direct(host) {
        return Err(Refusal::Host);
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) == Some(host);
        if !same {
            return Err(Refusal::CrossSite);
        }
    }
    // Fetch metadata: browsers send it with every request, pages cannot forge it.
    match headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Refusal::CrossSite),
    }
}

fn is_direct(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_direct_requests_pass() {
        for (headers, expected) in [
            (&[("host", "127.0.0.1:15000")][..], Ok(())),
            (&[("host", "localhost")], Ok(())),
            (&[("host", "[::1]:15000")], Ok(())),
            (&[("host", "10.0.0.7:15000"), ("sec-fetch-site", "none")], Ok(())),
            (&[("host", "localhost:1"), ("origin", "http://localhost:1")], Ok(())),
            (&[], Err(Refusal::Host)),
            (&[("host", "evil.example:15000")], Err(Refusal::Host)),
            (&[("host", "localhost.evil.example")], Err(Refusal::Host)),
            (&[("host", "127.0.0.1.evil.example")], Err(Refusal::Host)),
            (&[("host", "[::1")], Err(Refusal::Host)),
            (&[("host", "localhost"), ("host", "evil.example")], Err(Refusal::Host)),
            (&[("host", "localhost:1"), ("origin", "http://evil.example")], Err(Refusal::CrossSite)),
            (&[("host", "localhost:1"), ("origin", "null")], Err(Refusal::CrossSite)),
            (&[("host", "localhost:1"), ("origin", "http://localhost:2")], Err(Refusal::CrossSite)),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")], Err(Refusal::CrossSite)),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "same-site")], Err(Refusal::CrossSite)),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(check(&map), expected, "{headers:?}");
        }
    }
}
