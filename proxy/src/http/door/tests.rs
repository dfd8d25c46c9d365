//! Which requests pass the door, in which form, and which are refused.

use http::Request;

use super::*;

fn parts(version: Version, method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().version(version).method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn get(target: &str, fields: &[(&str, &str)]) -> Parts {
    parts(Version::HTTP_11, "GET", target, fields)
}

/// Host field, canonical host, target after the door.
fn pass(mut parts: Parts) -> Result<(String, String, String), Error> {
    let admitted = admit(&mut parts, &ListenerLimits::default())?;
    let field = parts.headers.get(header::HOST).map_or("", |value| value.to_str().unwrap());
    Ok((field.to_owned(), field[..admitted.host].to_owned(), parts.uri.to_string()))
}

fn passes(parts: Parts, field: &str, host: &str, target: &str) {
    assert_eq!(pass(parts).unwrap(), (field.into(), host.into(), target.into()));
}

fn malformed(parts: Parts) {
    let label = format!("{parts:?}");
    assert!(matches!(pass(parts), Err(Error::Malformed(_))), "{label}");
}

#[test]
fn plain_requests_pass_as_they_are() {
    passes(get("/a?b", &[("host", "a.example:8080")]), "a.example:8080", "a.example", "/a?b");
    passes(get("/", &[("host", "[::1]:80")]), "[::1]:80", "[::1]", "/");
    passes(parts(Version::HTTP_10, "GET", "/", &[]), "", "", "/");
}

#[test]
fn hosts_become_canonical() {
    passes(get("/", &[("host", "A.Example:80")]), "a.example:80", "a.example", "/");
    passes(get("/", &[("host", "a.example.")]), "a.example", "a.example", "/");
    passes(get("/", &[("host", "a.example.:8080")]), "a.example:8080", "a.example", "/");
}

#[test]
fn targets_become_origin_form() {
    passes(get("http://a.example/x?y", &[("host", "a.example")]), "a.example", "a.example", "/x?y");
    passes(get("http://a.example", &[("host", "a.example")]), "a.example", "a.example", "/");
    passes(get("http://a.example#x", &[("host", "a.example")]), "a.example", "a.example", "/");
    passes(get("http://a.example?y", &[("host", "a.example")]), "a.example", "a.example", "/?y");
    let h2 = parts(Version::HTTP_2, "GET", "https://a.example:8443/x", &[]);
    passes(h2, "a.example:8443", "a.example", "/x");
    passes(
        parts(Version::HTTP_2, "GET", "https://A.example/%41", &[("host", "a.example")]),
        "a.example",
        "a.example",
        "/A",
    );
}

#[test]
fn hosts_in_doubt_are_refused() {
    malformed(get("/", &[]));
    malformed(get("/", &[("host", "a"), ("host", "a")]));
    malformed(get("/", &[("host", "a"), ("host", "b")]));
    malformed(get("http://a/", &[("host", "b")]));
    malformed(get("http://a:80/", &[("host", "a:81")]));
    malformed(get("/", &[("host", "user@a")]));
    malformed(get("/", &[("host", "a b")]));
    malformed(get("/", &[("host", "a/b")]));
    malformed(parts(Version::HTTP_2, "GET", "https://a/", &[("host", "b")]));
}

#[test]
fn framing_in_doubt_is_refused() {
    malformed(get("/", &[("host", "a"), ("content-length", "1"), ("transfer-encoding", "chunked")]));
    malformed(get("/", &[("host", "a"), ("content-length", "1"), ("content-length", "1")]));
    malformed(get("/", &[("host", "a"), ("content-length", "+1")]));
    malformed(get("/", &[("host", "a"), ("transfer-encoding", "gzip, chunked")]));
    malformed(get("/", &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
    malformed(get("/", &[("host", "a"), ("transfer-encoding", "xchunked")]));
    malformed(parts(Version::HTTP_10, "POST", "/", &[("host", "a"), ("transfer-encoding", "chunked")]));
}

#[test]
fn paths_in_doubt_are_refused() {
    for target in ["/a%2fb", "/a%5cb", "/a/../b", "/a/%2e%2e/b", "/a%00", "/a%zz"] {
        malformed(get(target, &[("host", "a")]));
    }
    malformed(get("*", &[("host", "a")]));
    passes(parts(Version::HTTP_11, "OPTIONS", "*", &[("host", "a")]), "a", "a", "*");
}

#[test]
fn methods_expectations_and_sizes() {
    assert!(matches!(
        pass(parts(Version::HTTP_11, "CONNECT", "a:443", &[("host", "a:443")])),
        Err(Error::Method)
    ));
    assert!(matches!(pass(get("/", &[("host", "a"), ("expect", "magic")])), Err(Error::Expectation)));
    let mut expecting = get("/", &[("host", "a"), ("expect", "100-Continue")]);
    admit(&mut expecting, &ListenerLimits::default()).unwrap();
    assert!(!expecting.headers.contains_key(header::EXPECT));
    let long = format!("/{}", "a".repeat(9000));
    assert!(matches!(pass(get(&long, &[("host", "a")])), Err(Error::UriTooLong)));
    let many: Vec<_> = (0..101).map(|n| (format!("x-{n}"), "1")).collect();
    let mut many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    many.push(("host", "a"));
    assert!(matches!(pass(get("/", &many)), Err(Error::HeadersTooLarge)));
}

#[test]
fn parameters_are_told() {
    let mut with = get("/a;b", &[("host", "a")]);
    assert!(admit(&mut with, &ListenerLimits::default()).unwrap().parameters);
}
