//! Filters: headers, rewrites, redirects, mirrors, CORS, direct answers.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use model::*;

use crate::support::*;

fn field(name: &str, value: &str) -> HeaderField {
    HeaderField { name: name.into(), value: value.into() }
}

fn edit(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEdit {
    HeaderEdit {
        set: set.iter().map(|(name, value)| field(name, value)).collect(),
        add: add.iter().map(|(name, value)| field(name, value)).collect(),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    }
}

#[tokio::test]
async fn headers_are_edited_both_ways_in_rule_and_backend() {
    let backend = Server::start(|_| async {
        Response::builder().header("x-secret", "1").header("x-old", "old").body(Full::from("")).unwrap()
    })
    .await;
    let rule = vec![
        Filter::RequestHeaders(edit(&[("x-set", "new")], &[("x-add", "two")], &["x-gone"])),
        Filter::ResponseHeaders(edit(&[("x-old", "new")], &[("x-more", "1")], &["x-secret"])),
    ];
    let mut weighted = weighted("b", 1);
    weighted.filters = vec![
        Filter::RequestHeaders(edit(&[("x-set", "newest")], &[], &[])),
        Filter::ResponseHeaders(edit(&[], &[("x-from", "backend")], &[])),
    ];
    let action = Action::Forward(Forward { backends: vec![weighted], ..Forward::default() });
    let gateway =
        Gateway::start(Plan::new().backend("b", &[backend.address]).prefix("/", rule, action)).await;
    let request = Request::get("/")
        .header("host", "a")
        .header("x-set", "old")
        .header("x-add", "one")
        .header("x-gone", "1");
    let answer = gateway.send(request.body(Bytes::new()).unwrap()).await;
    let seen = backend.last();
    assert_eq!(seen.header("x-set"), "newest");
    let added: Vec<_> = seen.headers.get_all("x-add").iter().collect();
    assert_eq!(added, ["one", "two"]);
    assert!(!seen.headers.contains_key("x-gone"));
    assert_eq!(
        (answer.header("x-old"), answer.header("x-more"), answer.header("x-from")),
        ("new", "1", "backend")
    );
    assert!(!answer.headers.contains_key("x-secret"));
}

#[tokio::test]
async fn host_and_path_are_rewritten() {
    let backend = Server::named("hello").await;
    let rewrite = |host: Option<&str>, path: PathRewrite| {
        vec![Filter::Rewrite(Rewrite { host: host.map(Into::into), path: Some(path) })]
    };
    let plan = Plan::new()
        .backend("b", &[backend.address])
        .prefix("/full", rewrite(Some("inner.example"), PathRewrite::Full("/one".into())), forward("b"))
        .prefix("/strip", rewrite(None, PathRewrite::Prefix("/".into())), forward("b"))
        .prefix("/pre/fix", rewrite(None, PathRewrite::Prefix("/x/".into())), forward("b"));
    let gateway = Gateway::start(plan).await;
    for (path, expected) in [
        ("/full/a?q=1", "/one?q=1"),
        ("/strip", "/"),
        ("/strip/", "/"),
        ("/strip/a?q", "/a?q"),
        ("/pre/fix/three", "/x/three"),
        ("/pre/fix", "/x"),
    ] {
        assert_eq!(gateway.get(path).await.status, 200);
        assert_eq!(backend.last().uri, expected, "{path}");
    }
    gateway.get("/full").await;
    let seen = backend.last();
    assert_eq!((seen.header("host"), seen.header("x-forwarded-host")), ("inner.example", "a.example"));
}

#[tokio::test]
async fn redirects_name_the_new_place() {
    let redirect = Redirect { scheme: Some("https".into()), host: None, port: None, path: None, status: 301 };
    let listener = Redirect {
        scheme: None,
        path: Some(PathRewrite::Prefix("/new".into())),
        status: 302,
        ..redirect.clone()
    };
    let plan = Plan::new().prefix("/secure", vec![], Action::Redirect(redirect)).prefix(
        "/old",
        vec![Filter::ResponseHeaders(edit(&[("x-by", "us")], &[], &[]))],
        Action::Redirect(listener),
    );
    let gateway = Gateway::start(plan).await;
    let answer = gateway.get("/secure/x?q=1").await;
    assert_eq!((answer.status, answer.header("location")), (301, "https://a.example/secure/x?q=1"));
    let answer = gateway.get("/old/x").await;
    assert_eq!((answer.status, answer.header("location")), (302, "http://a.example/new/x"));
    assert_eq!(answer.header("x-by"), "us");
}

#[tokio::test]
async fn redirects_behind_a_believed_proxy_name_its_entrance() {
    let redirect = Redirect {
        scheme: None,
        host: None,
        port: None,
        path: Some(PathRewrite::Full("/new".into())),
        status: 302,
    };
    let plan = Plan::new()
        .prefix("/", vec![], Action::Redirect(redirect))
        .connection(|policy| policy.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
    let gateway = Gateway::start(plan).await;
    let request = Request::get("/").header("host", "a.example").header("x-forwarded-proto", "https");
    let answer = gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(answer.header("location"), "https://a.example/new");
}

#[tokio::test]
async fn direct_answers_and_closed_filters() {
    let closed = vec![Filter::Closed { reason: "extension not found".into(), status: 500 }];
    let plan = Plan::new()
        .prefix("/fixed", vec![], Action::Respond { status: 418, body: "short and stout".into() })
        .prefix("/closed", closed, Action::Respond { status: 200, body: "".into() });
    let gateway = Gateway::start(plan).await;
    let answer = gateway.get("/fixed").await;
    assert_eq!((answer.status, answer.text()), (418, "short and stout"));
    let answer = gateway.get("/closed").await;
    assert_eq!((answer.status, answer.text()), (500, "misconfigured route"));
}

#[tokio::test]
async fn mirrors_get_copies_and_never_hold_up_the_request() {
    let (main, one, two) = (
        Server::named("main").await,
        Server::named("1").await,
        Server::start(|_| std::future::pending()).await,
    );
    let mirror = |name: &str, numerator, denominator| {
        Filter::Mirror(Mirror { backend: BackendRef::Name(name.into()), numerator, denominator })
    };
    let invalid = Filter::Mirror(Mirror {
        backend: BackendRef::Invalid { reason: "no".into(), status: 500 },
        numerator: 1,
        denominator: 1,
    });
    let plan = Plan::new()
        .backend("main", &[main.address])
        .backend("one", &[one.address])
        .backend("two", &[two.address])
        .prefix("/", vec![mirror("one", 1, 1), mirror("two", 1, 2), invalid], forward("main"));
    let gateway = Gateway::start(plan).await;
    for _ in 0..4 {
        let request = Request::post("/m").header("host", "a").body(Bytes::from_static(b"copied")).unwrap();
        assert_eq!(gateway.send(request).await.text(), "main");
    }
    soon(async {
        while one.seen().len() < 4 || two.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(one.seen().iter().all(|seen| seen.body == "copied" && seen.uri == "/m"));
    assert_eq!((main.seen().len(), two.seen().len()), (4, 2));
}

fn cors(origins: &[&str], methods: &[&str], headers: &[&str], credentials: bool) -> Vec<Filter> {
    let list = |items: &[&str]| items.iter().map(|item| (*item).into()).collect();
    vec![Filter::Cors(Cors {
        allow_origins: list(origins),
        allow_methods: list(methods),
        allow_headers: list(headers),
        expose_headers: vec!["x-shown".into()],
        allow_credentials: credentials,
        max_age: Some(Duration::from_secs(60)),
    })]
}

fn preflight(path: &str, origin: &str) -> Request<Bytes> {
    Request::options(path)
        .header("host", "a")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-one, x-two")
        .body(Bytes::new())
        .unwrap()
}

#[tokio::test]
async fn preflights_are_answered_here() {
    let backend = Server::named("hello").await;
    let plan = Plan::new()
        .backend("b", &[backend.address])
        .prefix(
            "/some",
            cors(&["https://a.com", "https://*.b.com"], &["GET", "PUT"], &["x-one"], true),
            forward("b"),
        )
        .prefix("/any", cors(&["*"], &["*"], &["*"], false), forward("b"))
        .prefix("/own", cors(&["*"], &["*"], &["*"], true), forward("b"));
    let gateway = Gateway::start(plan).await;
    let answer = gateway.send(preflight("/some", "https://x.y.b.com")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://x.y.b.com");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, PUT");
    assert_eq!(answer.header("access-control-allow-headers"), "x-one");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-max-age"), "60");
    let refused = gateway.send(preflight("/some", "https://evil.com")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (204, ""));
    let any = gateway.send(preflight("/any", "https://evil.com")).await;
    assert_eq!(any.header("access-control-allow-origin"), "*");
    assert_eq!(any.header("access-control-allow-methods"), "*");
    assert_eq!(any.header("access-control-allow-credentials"), "");
    let own = gateway.send(preflight("/own", "https://evil.com")).await;
    assert_eq!(own.header("access-control-allow-origin"), "https://evil.com");
    assert_eq!(own.header("access-control-allow-methods"), "PUT");
    assert_eq!(own.header("access-control-allow-headers"), "x-one, x-two");
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn answers_say_who_may_read_them() {
    let backend = Server::start(|_| async {
        Response::builder().header("access-control-allow-origin", "*").body(Full::from("")).unwrap()
    })
    .await;
    let plan = Plan::new().backend("b", &[backend.address]).prefix(
        "/",
        cors(&["https://a.com"], &[], &[], true),
        forward("b"),
    );
    let gateway = Gateway::start(plan).await;
    let ask = async |origin: &str| {
        let request =
            Request::get("/").header("host", "a").header("origin", origin).body(Bytes::new()).unwrap();
        gateway.send(request).await
    };
    let answer = ask("https://a.com").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.com");
    assert_eq!(answer.header("access-control-expose-headers"), "x-shown");
    assert_eq!(answer.header("vary"), "Origin");
    assert!(!ask("https://evil.com").await.headers.contains_key("access-control-allow-origin"));
}
