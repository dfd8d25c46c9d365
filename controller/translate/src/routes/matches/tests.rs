//! Matches as written and as compared.

use serde_json::{Value, json};

use super::*;

fn http_match(value: Value) -> Result<model::Match, Fault> {
    let wanted: HttpRouteMatch = serde_json::from_value(value).unwrap();
    http(&[wanted], "spec.rules[0]").map(|mut matches| matches.remove(0))
}

fn grpc_match(value: Value) -> Result<model::Match, Fault> {
    let wanted: GrpcRouteMatch = serde_json::from_value(value).unwrap();
    grpc(&[wanted], "spec.rules[0]").map(|mut matches| matches.remove(0))
}

fn http_path(type_: &str, value: &str) -> Result<model::PathMatch, Fault> {
    http_match(json!({"path": {"type": type_, "value": value}})).map(|matched| matched.path.unwrap())
}

#[test]
fn no_match_is_everything() {
    let all = http(&[], "").unwrap();
    assert_eq!(all, [everything()]);
    assert_eq!(http_match(json!({})).unwrap(), everything());
}

#[test]
fn prefixes_lose_their_trailing_slash() {
    for (text, prefix) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a/b", "/a/b")] {
        assert_eq!(http_path("PathPrefix", text), Ok(model::PathMatch::SegmentPrefix(prefix.into())));
    }
    assert_eq!(http_path("Exact", "/a/"), Ok(model::PathMatch::Exact("/a/".into())));
}

#[test]
fn paths_are_compared_in_canonical_form() {
    for (text, canonical) in [("/%41%7e", "/A~"), ("/a%c3%a9", "/a%C3%A9"), ("/a%20b", "/a%20b")] {
        assert_eq!(http_path("Exact", text), Ok(model::PathMatch::Exact(canonical.into())), "{text}");
    }
}

#[test]
fn paths_that_no_request_can_have_are_refused() {
    for bad in [
        "a", "", "//", "/a/../b", "/..", "/a?b", "/a#b", "/%2f", "/%5C", "/%4", "/%zz", "/%+1", "/%00",
        "/%2e%2e", "/é",
    ] {
        let fault = http_path("Exact", bad).unwrap_err();
        assert_eq!(fault.field, "spec.rules[0].matches[0].path.value", "{bad}");
    }
}

#[test]
fn regular_expressions_are_compiled() {
    let good = http_path("RegularExpression", "/v[0-9]+/.*");
    assert_eq!(good, Ok(model::PathMatch::Regex("/v[0-9]+/.*".into())));
    for bad in ["(", r"(\w{100}){100}", "(?=a)"] {
        let fault = http_path("RegularExpression", bad).unwrap_err();
        assert_eq!(fault.field, "spec.rules[0].matches[0].path.value", "{bad}");
    }
}

#[test]
fn first_of_equal_names_counts() {
    let matched = http_match(json!({
        "headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}, {"name": "b", "value": "3"}],
        "queryParams": [{"name": "q", "value": "1"}, {"name": "q", "value": "2"}, {"name": "Q", "value": "3"}],
        "method": "GET",
    }));
    let matched = matched.unwrap();
    let headers: Vec<_> =
        matched.headers.iter().map(|header| (&*header.name, header.value.clone())).collect();
    assert_eq!(headers, [("x-a", ValueMatch::Exact("1".into())), ("b", ValueMatch::Exact("3".into()))]);
    let query: Vec<_> = matched.query.iter().map(|query| (&*query.name, query.value.clone())).collect();
    assert_eq!(query, [("q", ValueMatch::Exact("1".into())), ("Q", ValueMatch::Exact("3".into()))]);
    assert_eq!(matched.method.as_deref(), Some("GET"));
}

#[test]
fn pseudo_headers_are_no_header_names() {
    let fault = http_match(json!({"headers": [{"name": ":method", "value": "GET"}]})).unwrap_err();
    assert_eq!(fault.field, "spec.rules[0].matches[0].headers[0].name");
}

#[test]
fn grpc_methods_are_paths() {
    use model::PathMatch::{Exact, Regex, SegmentPrefix};
    for (method, path) in [
        (json!({"service": "a.B", "method": "C"}), Exact("/a.B/C".into())),
        (json!({"service": "a.B"}), SegmentPrefix("/a.B".into())),
        (json!({"service": "", "method": "C"}), Regex("/[^/]+/C".into())),
        (json!({"type": "RegularExpression", "service": "a|b"}), Regex("/(?:a|b)/[^/]+".into())),
        (json!({"type": "RegularExpression", "method": "C.*"}), Regex("/[^/]+/(?:C.*)".into())),
    ] {
        let matched = grpc_match(json!({"method": method})).unwrap();
        assert_eq!(matched.path, Some(path));
        assert_eq!(matched.headers, [grpc_only()]);
    }
    assert!(grpc_match(json!({"method": {"service": "a/b"}})).is_err());
    for bad in ["(", "a)|(b"] {
        assert!(
            grpc_match(json!({"method": {"type": "RegularExpression", "service": bad}})).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn grpc_without_a_match_takes_grpc_only() {
    let all = grpc(&[], "").unwrap();
    let expected = model::Match { headers: vec![grpc_only()], ..everything() };
    assert_eq!(all, [expected]);
}
