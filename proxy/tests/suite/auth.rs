//! External authorisation in both forms.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use model::*;
use prost::Message;

use crate::support::*;

fn filter(protocol: ExternalAuthProtocol, body_bytes: u32, fail_open: bool) -> Vec<Filter> {
    vec![Filter::ExternalAuth(ExternalAuth {
        backend: BackendRef::Name("auth".into()),
        protocol,
        body_bytes,
        timeout: Duration::from_secs(5),
        fail_open,
    })]
}

fn http_form(allowed: &[&str], response: &[&str]) -> ExternalAuthProtocol {
    let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    ExternalAuthProtocol::Http {
        path: "/check".into(),
        allowed_headers: list(allowed),
        allowed_response_headers: list(response),
    }
}

fn plan(backend: &Server, auth: std::net::SocketAddr, filters: Vec<Filter>) -> Plan {
    Plan::new().backend("b", &[backend.address]).backend("auth", &[auth]).prefix("/", filters, forward("b"))
}

fn ask(user: &str) -> Request<Bytes> {
    let request = Request::post("/p?q=1").header("host", "a.example").header("authorization", user);
    request.header("x-user", "forged").header("x-other", "1").body(Bytes::from_static(b"body")).unwrap()
}

/// Lets `good` pass.
async fn http_server() -> Server {
    Server::start(|seen| async move {
        if seen.header("authorization") == "good" {
            return Response::builder()
                .header("x-user", "alice")
                .header("x-extra", "1")
                .body(Full::default())
                .unwrap();
        }
        let mut response = Response::new(Full::from("who are you"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert("www-authenticate", "Basic".parse().unwrap());
        response
    })
    .await
}

#[tokio::test]
async fn the_http_form_lets_pass_by_200() {
    let (backend, auth) = (Server::named("hello").await, http_server().await);
    let gateway =
        Gateway::start(plan(&backend, auth.address, filter(http_form(&["x-other"], &["x-user"]), 0, false)))
            .await;
    assert_eq!(gateway.send(ask("good")).await.text(), "hello");
    let seen = backend.last();
    assert_eq!((seen.header("x-user"), seen.header("x-extra")), ("alice", ""));
    assert_eq!(seen.body, "body");
    let asked = auth.last();
    assert_eq!(asked.uri, "/check/p?q=1");
    assert_eq!(
        (asked.header("host"), asked.header("x-other"), asked.header("x-user")),
        ("a.example", "1", "")
    );
    assert_eq!((asked.header("content-length"), asked.body.len()), ("0", 0));
    let denied = gateway.send(ask("bad")).await;
    assert_eq!((denied.status, denied.text()), (401, "who are you"));
    assert_eq!(denied.header("www-authenticate"), "Basic");
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_body_is_sent_along_up_to_its_bound() {
    let (backend, auth) = (Server::named("hello").await, http_server().await);
    let gateway = Gateway::start(plan(&backend, auth.address, filter(http_form(&[], &[]), 4, false))).await;
    assert_eq!(gateway.send(ask("good")).await.status, 200);
    assert_eq!((auth.last().body, backend.last().body), (Bytes::from("body"), Bytes::from("body")));
    let mut long = ask("good");
    *long.body_mut() = Bytes::from_static(b"longer");
    assert_eq!(gateway.send(long).await.status, 413);
}

#[tokio::test]
async fn without_an_answer_it_is_closed_unless_open() {
    let backend = Server::named("hello").await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = Gateway::start(plan(&backend, nobody, filter(http_form(&[], &[]), 0, false))).await;
    assert_eq!(closed.send(ask("good")).await.status, 403);
    assert!(backend.seen().is_empty());
    let open = Gateway::start(plan(&backend, nobody, filter(http_form(&[], &[]), 0, true))).await;
    assert_eq!(open.send(ask("good")).await.status, 200);
}

#[tokio::test]
async fn a_listener_asks_before_any_route_is_matched() {
    let (backend, auth) = (Server::named("hello").await, http_server().await);
    let mut plan = plan(&backend, auth.address, vec![]);
    let Protocol::Http(servers) = &mut plan.0.listeners.get_mut("l").unwrap().protocol else {
        unreachable!()
    };
    servers.get_mut(&HostPattern::Any).unwrap().filters = filter(http_form(&[], &[]), 0, false);
    let gateway = Gateway::start(plan).await;
    assert_eq!(gateway.send(ask("bad")).await.status, 401);
    assert_eq!(gateway.send(ask("good")).await.status, 200);
}

/// The fields of `CheckRequest` and `CheckResponse` that the test server needs, written apart from the proxy's.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CheckRequest {
        #[prost(message, optional, tag = "1")]
        pub attributes: Option<Attributes>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attributes {
        #[prost(message, optional, tag = "4")]
        pub request: Option<Request>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(message, optional, tag = "2")]
        pub http: Option<Http>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Http {
        #[prost(string, tag = "2")]
        pub method: String,
        #[prost(map = "string, string", tag = "3")]
        pub headers: std::collections::HashMap<String, String>,
        #[prost(string, tag = "4")]
        pub path: String,
        #[prost(string, tag = "5")]
        pub host: String,
        #[prost(string, tag = "11")]
        pub body: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CheckResponse {
        #[prost(message, optional, tag = "1")]
        pub status: Option<Status>,
        #[prost(message, optional, tag = "2")]
        pub denied: Option<Denied>,
        #[prost(message, optional, tag = "3")]
        pub ok: Option<Ok>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Status {
        #[prost(int32, tag = "1")]
        pub code: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Denied {
        #[prost(message, optional, tag = "1")]
        pub status: Option<Status>,
        #[prost(string, tag = "3")]
        pub body: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Ok {
        #[prost(message, repeated, tag = "2")]
        pub headers: Vec<HeaderOption>,
        #[prost(string, repeated, tag = "5")]
        pub remove: Vec<String>,
        #[prost(message, repeated, tag = "6")]
        pub response: Vec<HeaderOption>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct HeaderOption {
        #[prost(message, optional, tag = "1")]
        pub header: Option<Header>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Header {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }
}

fn header(key: &str, value: &str) -> wire::HeaderOption {
    wire::HeaderOption { header: Some(wire::Header { key: key.into(), value: value.into() }) }
}

fn check(body: &Bytes) -> wire::Http {
    let check = wire::CheckRequest::decode(&body[5..]).unwrap();
    check.attributes.unwrap().request.unwrap().http.unwrap()
}

/// Lets `good` pass. Answers Trailers-Only with a message in front, as the simplest server may.
async fn grpc_server() -> Server {
    Server::start2(|seen| async move {
        assert_eq!(seen.uri.path(), "/envoy.service.auth.v3.Authorization/Check");
        let good = check(&seen.body).headers.get("authorization").is_some_and(|user| user == "good");
        let answer = if good {
            wire::CheckResponse {
                status: Some(wire::Status { code: 0 }),
                denied: None,
                ok: Some(wire::Ok {
                    headers: vec![header("x-user", "alice"), header("host", "evil")],
                    remove: vec!["x-other".into()],
                    response: vec![header("x-checked", "yes")],
                }),
            }
        } else {
            wire::CheckResponse {
                status: Some(wire::Status { code: 7 }),
                denied: Some(wire::Denied {
                    status: Some(wire::Status { code: 401 }),
                    body: "go away".into(),
                }),
                ok: None,
            }
        };
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(answer.encoded_len()).unwrap());
        answer.encode(&mut frame).unwrap();
        Response::builder().header("grpc-status", "0").body(Full::new(frame.freeze())).unwrap()
    })
    .await
}

#[tokio::test]
async fn the_grpc_form_edits_or_denies() {
    let (backend, auth) = (Server::named("hello").await, grpc_server().await);
    let protocol = ExternalAuthProtocol::Grpc { allowed_headers: vec!["authorization".into()] };
    let plan = Plan::new()
        .backend("b", &[backend.address])
        .backend_with("auth", &[auth.address], |backend| backend.protocol = BackendProtocol::Http2)
        .prefix("/", filter(protocol, 16, false), forward("b"));
    let gateway = Gateway::start(plan).await;
    let passed = gateway.send(ask("good")).await;
    assert_eq!((passed.text(), passed.header("x-checked")), ("hello", "yes"));
    let seen = backend.last();
    assert_eq!(
        (seen.header("x-user"), seen.header("x-other"), seen.header("host")),
        ("alice", "", "a.example")
    );
    let asked = check(&auth.last().body);
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str(), asked.host.as_str()),
        ("POST", "/p?q=1", "a.example")
    );
    assert_eq!(asked.body, "body");
    assert_eq!(asked.headers.keys().collect::<Vec<_>>(), ["authorization"]);
    let denied = gateway.send(ask("bad")).await;
    assert_eq!((denied.status, denied.text()), (401, "go away"));
    assert_eq!(backend.seen().len(), 1);
}
