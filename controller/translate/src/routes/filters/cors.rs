//! CORS (GEP-1767).

use std::sync::Arc;
use std::time::Duration;

use api::gateway_api::{CorsFilter, CorsMethod};
use model::Cors;

use super::super::Fault;
use super::super::matches::header_name;

/// Cross-origin resource sharing.
///
/// # Errors
/// An origin or a header name that is none.
pub(super) fn cors(wanted: &CorsFilter, field: &str) -> Result<Cors, Fault> {
    Ok(Cors {
        allow_origins: each(&wanted.allow_origins, &format!("{field}.allowOrigins"), origin)?,
        allow_methods: wanted.allow_methods.iter().copied().map(CorsMethod::as_str).map(Into::into).collect(),
        allow_headers: each(&wanted.allow_headers, &format!("{field}.allowHeaders"), header)?,
        expose_headers: each(&wanted.expose_headers, &format!("{field}.exposeHeaders"), header)?,
        allow_credentials: wanted.allow_credentials.unwrap_or(false),
        max_age: Some(Duration::from_secs(u64::from(wanted.max_age))),
    })
}

/// The same as a TrafficPolicy asks for it.
///
/// # Errors
/// As [`cors`].
pub(crate) fn of_policy(wanted: &api::own::Cors, field: &str) -> Result<Cors, Fault> {
    Ok(Cors {
        allow_origins: each(&wanted.allow_origins, &format!("{field}.allowOrigins"), origin)?,
        allow_methods: wanted.allow_methods.iter().map(|method| method.as_str().into()).collect(),
        allow_headers: each(&wanted.allow_headers, &format!("{field}.allowHeaders"), header)?,
        expose_headers: each(&wanted.expose_headers, &format!("{field}.exposeHeaders"), header)?,
        allow_credentials: wanted.allow_credentials.unwrap_or(false),
        max_age: Some(wanted.max_age.map_or(DEFAULT_MAX_AGE, Into::into)),
    })
}

fn each(
    texts: &[String],
    field: &str,
    read: fn(&str, &str) -> Result<Arc<str>, Fault>,
) -> Result<Vec<Arc<str>>, Fault> {
    texts.iter().enumerate().map(|(index, text)| read(text, &format!("{field}[{index}]"))).collect()
}

/// As written: this is what the response shows.
fn header(text: &str, field: &str) -> Result<Arc<str>, Fault> {
    if text != "*" {
        header_name(text, field)?;
    }
    Ok(text.into())
}

/// `*`, or `SCHEME://HOST[:PORT]` where the host may start with `*`.
fn origin(text: &str, field: &str) -> Result<Arc<str>, Fault> {
    let refuse = || {
        Err(Fault::unsupported(field, format_args!("{text:?} is not an origin such as https://example.com")))
    };
    let folded = text.to_ascii_lowercase();
    if folded == "*" {
        return Ok("*".into());
    }
    let Some(("http" | "https", authority)) = folded.split_once("://") else { return refuse() };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    let labels = host.strip_prefix('*').unwrap_or(host);
    let host_is_good = !host.is_empty() && labels.bytes().all(known);
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !host_is_good || !port_is_good { refuse() } else { Ok(folded.into()) }
}

/// "the gateway sets the response header Access-Control-Max-Age: 5 by default" (HTTPCORSFilter).
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for good in [
            "*",
            "https://a.example",
            "http://*.a.example:8080",
            "https://*",
            "http://[::1]:80",
            "http://[::1]",
        ] {
            assert_eq!(origin(good, "f").as_deref(), Ok(good), "{good}");
        }
        assert_eq!(origin("HTTPS://A.example", "f").as_deref(), Ok("https://a.example"));
        for bad in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a:0",
            "https://a:b",
            "https://a.*",
        ] {
            assert!(origin(bad, "f").is_err(), "{bad}");
        }
    }

    #[test]
    fn five_seconds_unless_said() {
        let cors = cors(&serde_json::from_value(serde_json::json!({})).unwrap(), "f").unwrap();
        assert_eq!(cors.max_age, Some(Duration::from_secs(5)));
        assert!(!cors.allow_credentials);
    }
}
