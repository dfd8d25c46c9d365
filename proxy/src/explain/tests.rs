//! Explanations of requests that arrive, and of those that do not.

use std::sync::Arc;

use model::Snapshot;

use super::*;
use crate::compiled::BuildContext;

fn compiled() -> Compiled {
    let snapshot: Snapshot = serde_json::from_str(SNAPSHOT).unwrap();
    Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap()
}

const SNAPSHOT: &str = r#"{
  "listeners": {
    "edge/gw/80": {
      "gateway": {"kind": "Gateway", "namespace": "edge", "name": "gw"},
      "port": 80,
      "protocol": {"http": {
        "*.example.com": {
          "owner": {"kind": "Gateway", "namespace": "edge", "name": "gw"},
          "section": "web", "port": 80, "routes": "t"
        }
      }}
    },
    "edge/gw/443": {
      "gateway": {"kind": "Gateway", "namespace": "edge", "name": "gw"},
      "port": 443,
      "protocol": {"tls": {"broken.example.com": {"closed": {"reason": "Secret edge/tls does not exist"}}}}
    }
  },
  "routes": {"t": {
    "hosts": {"shop.example.com": [
      {"path": {"exact": "/buy"}, "method": "POST", "rule": 0},
      {"path": {"segmentPrefix": "/cart"}, "headers": [{"name": "x-beta", "value": {"exact": "yes"}}], "rule": 1},
      {"path": {"segmentPrefix": "/old"}, "rule": 2}
    ]},
    "rules": [
      {"origin": {"kind": "HTTPRoute", "namespace": "shop", "name": "r"}, "index": 0, "action": {"forward": {"backends": [
        {"weight": 9, "backend": {"name": "service/shop/buy/80"}},
        {"weight": 1, "backend": {"invalid": {"reason": "Service shop/gone does not exist", "status": 500}}}
      ]}}},
      {"origin": {"kind": "HTTPRoute", "namespace": "shop", "name": "r"}, "index": 1, "action": {"respond": {"status": 204, "body": ""}}},
      {"origin": {"kind": "HTTPRoute", "namespace": "shop", "name": "r"}, "index": 2,
       "filters": [{"closed": {"reason": "no such filter", "status": 500}}],
       "action": {"respond": {"status": 204, "body": ""}}}
    ]
  }},
  "backends": {"service/shop/buy/80": {"origin": {"kind": "Service", "namespace": "shop", "name": "buy"}, "port": 80}},
  "endpoints": {"service/shop/buy/80": [{"address": "127.0.0.1", "port": 8080}]}
}"#;

fn ask(method: &str, url: &str, headers: &[&str]) -> String {
    let question = Question::new(method, url, headers).unwrap();
    let answers = explain(&compiled(), &question);
    assert_eq!(answers.len(), 1);
    answers[0].to_string()
}

#[test]
fn a_routed_request_is_followed_to_its_endpoints() {
    let text = ask("POST", "http://Shop.Example.com./%62uy?x=1", &[]);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "request      POST shop.example.com/buy?x=1",
            "listener     edge/gw/80 of Gateway edge/gw, port 80",
            "section      web of Gateway edge/gw",
            "host         shop.example.com",
            "route        HTTPRoute shop/r rule 0",
            "match        path is /buy, method POST",
            "outcome      forwarded",
            "backend      weight 9: Service shop/buy (service/shop/buy/80), Auto, plain",
            "endpoint     127.0.0.1:8080",
            "backend      weight 1: none, 500: Service shop/gone does not exist",
        ]
    );
}

#[test]
fn a_request_that_goes_nowhere_is_told_why() {
    for (method, url, headers, expected) in [
        (
            "GET",
            "http://shop.example.com/buy",
            vec![],
            "near miss    HTTPRoute shop/r rule 0 (shop.example.com) wants method POST, not GET",
        ),
        (
            "GET",
            "http://shop.example.com/cart/1",
            vec![],
            "wants a header x-beta that is \"yes\"; it is absent",
        ),
        ("GET", "http://shop.example.com/cart/1", vec!["X-Beta: no", "x-beta: yes"], "it is \"no,yes\""),
        ("GET", "http://shop.example.com/ol", vec![], "wants a path that is or is below \"/old\""),
        ("GET", "http://shop.example.com/old", vec![], "500: a filter of the rule is closed: no such filter"),
        (
            "GET",
            "http://a.example.com/",
            vec![],
            "404: no route of the listener serves the host \"a.example.com\"; routes serve shop.example.com",
        ),
        (
            "GET",
            "http://example.org/",
            vec![],
            "404: no listener serves this host: \"example.org\"; the port serves *.example.com",
        ),
        ("GET", "http://shop.example.com/%2e%2e/", vec![], "400: path: the path holds a parent segment"),
        ("GET", "http://shop.example.com/cart;v=1", vec!["x-beta: yes"], "404: no route matches"),
        ("GET", "http://shop.example.com/cart/a;v=1", vec!["x-beta: yes"], "400: the path holds parameters"),
        ("GET", "http://127.0.0.1/cart", vec!["Host: a@b"], "400: host: the host holds user information"),
        (
            "GET",
            "http://shop.example.com:81/",
            vec![],
            "no listener has port 81; there are: 443 (edge/gw/443), 80 (edge/gw/80)",
        ),
        ("GET", "https://shop.example.com:80/", vec![], "the port speaks plaintext HTTP, not TLS"),
        (
            "GET",
            "https://broken.example.com/",
            vec![],
            "the listener is closed: Secret edge/tls does not exist; handshake refused",
        ),
        (
            "GET",
            "https://other.example.com/",
            vec![],
            "no listener serves the server name \"other.example.com\"",
        ),
    ] {
        let text = ask(method, url, &headers);
        assert!(text.contains(expected), "{url}:\n{text}");
    }
}

#[test]
fn the_host_header_stands_above_the_url() {
    let text = ask("POST", "http://127.0.0.1/buy", &["Host: shop.example.com"]);
    assert!(text.contains("endpoint     127.0.0.1:8080"), "{text}");
}

#[test]
fn questions_that_cannot_be_asked_are_refused() {
    assert!(matches!(Question::new("G T", "http://a/", &[""; 0]), Err(QuestionError::Method(_))));
    assert!(matches!(Question::new("GET", "/path", &[""; 0]), Err(QuestionError::Url(_))));
    assert!(matches!(Question::new("GET", "ftp://a/", &[""; 0]), Err(QuestionError::Url(_))));
    assert!(matches!(Question::new("GET", "http://a/", &["no colon"]), Err(QuestionError::Header(_))));
}

#[test]
fn explanations_are_json() {
    let question = Question::new("POST", "http://shop.example.com/buy", &[""; 0]).unwrap();
    let json = serde_json::to_value(&explain(&compiled(), &question)[0]).unwrap();
    assert_eq!(json["route"]["when"]["path"]["exact"], "/buy");
    assert_eq!(json["outcome"]["forward"]["backends"][0]["backend"]["endpoints"][0]["port"], 8080);
}
