//! gRPC: trailers are kept, and errors are told in its own words.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::*;
use tokio::net::TcpListener;

use crate::support::*;

fn call() -> Request<Bytes> {
    Request::post("http://a.example/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Bytes::from_static(b"\0\0\0\0\x02hi"))
        .unwrap()
}

/// Echoes and ends with `grpc-status: 0` in trailers.
async fn server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                assert_eq!(request.headers()["te"], "trailers");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let body: BoxBody<Bytes, Infallible> =
                    Full::new(body).with_trailers(async move { Some(Ok(trailers)) }).boxed();
                Ok::<_, Infallible>(
                    Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
                )
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn trailers_come_back() {
    let plan = Plan::new()
        .backend_with("b", &[server().await], |backend| backend.protocol = BackendProtocol::Http2)
        .rule(forward("b"));
    let gateway = Gateway::start(plan).await;
    let answer = gateway.send2(call()).await;
    assert_eq!(answer.body, "\0\0\0\0\x02hi");
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn errors_are_grpc_statuses() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let when = |path: &str| Match { path: Some(PathMatch::Exact(path.into())), ..Match::default() };
    let plan = Plan::new()
        .backend_with("b", &[unused], |backend| backend.protocol = BackendProtocol::Http2)
        .rule_with(when("/down"), vec![], forward("b"))
        .rule_with(when("/said"), vec![], Action::Respond { status: 403, body: "not you".into() });
    let gateway = Gateway::start(plan).await;
    for (path, status, message) in
        [("/down", "14", "upstream failed"), ("/none", "12", "no route"), ("/said", "7", "not you")]
    {
        let mut call = call();
        *call.uri_mut() = format!("http://a.example{path}").parse().unwrap();
        let answer = gateway.send2(call).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            (answer.header("grpc-status"), answer.header("grpc-message")),
            (status, message),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), "application/grpc");
    }
}
