//! HTTP/2: one connection for many, its limits, and refusals that are safe to try again.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::BackendProtocol;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::spawn_local;

use super::support::*;
use crate::upstream::*;

/// An HTTP/2 server that answers when as many requests are there as `gather` says.
struct Server {
    address: SocketAddr,
    connections: Rc<Cell<usize>>,
    seen: Rc<RefCell<Vec<Request<()>>>>,
}

impl Server {
    async fn start(max_streams: Option<u32>, gather: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), connections: Rc::default(), seen: Rc::default() };
        let (connections, seen) = (Rc::clone(&server.connections), Rc::clone(&server.seen));
        let barrier = Rc::new(Barrier::new(gather));
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.set(connections.get() + 1);
                let (seen, barrier) = (Rc::clone(&seen), Rc::clone(&barrier));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, barrier) = (Rc::clone(&seen), Rc::clone(&barrier));
                    async move {
                        let gathering = request.uri().path() == "/gather";
                        seen.borrow_mut().push(request.map(drop));
                        if gathering {
                            barrier.wait().await;
                        }
                        Ok::<_, Infallible>(answer())
                    }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
                builder.max_concurrent_streams(max_streams);
                spawn_local(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }
}

/// "ok" with a trailer.
fn answer() -> Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(Bytes::from("ok"))), Ok(Frame::trailers(trailers))];
    Response::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn http2(spec: &mut model::Backend) {
    spec.protocol = BackendProtocol::Http2;
}

#[test]
fn requests_share_one_connection_from_the_start() {
    on_a_core(async {
        let server = Server::start(None, 10).await;
        let (client, backend) = (client(), backend(server.address, http2));
        let exchanges = (0..10).map(|_| exchange(&client, &backend, get("/gather")));
        for exchanged in join_all(exchanges).await {
            let exchanged = exchanged.unwrap();
            assert!(exchanged.attempt.http2);
            assert_eq!(exchanged.response.body(), "ok");
            assert_eq!(exchanged.trailers.unwrap()["grpc-status"], "0");
        }
        assert_eq!(server.connections.get(), 1);
        assert_eq!(backend.live().circuit.connections(), 1);
    });
}

#[test]
fn what_is_sent_has_scheme_and_authority() {
    on_a_core(async {
        let server = Server::start(None, 1).await;
        let (client, backend) = (client(), backend(server.address, http2));
        exchange(&client, &backend, get("/p?q")).await.unwrap();
        let seen = server.seen.borrow();
        assert_eq!(seen[0].uri(), "http://a.example/p?q");
        assert!(seen[0].headers().is_empty(), "{:?}", seen[0].headers());
    });
}

#[test]
fn more_streams_than_the_endpoint_allows_take_more_connections() {
    on_a_core(async {
        let server = Server::start(Some(2), 6).await;
        let (client, backend) = (client(), backend(server.address, http2));
        // The first exchange brings the endpoint's SETTINGS.
        exchange(&client, &backend, get("/")).await.unwrap();
        let exchanges = (0..6).map(|_| exchange(&client, &backend, get("/gather")));
        assert!(join_all(exchanges).await.iter().all(Result::is_ok));
        assert!(server.connections.get() >= 3, "{}", server.connections.get());
    });
}

#[test]
fn a_dropped_response_leaves_the_connection_to_others() {
    on_a_core(async {
        let server = Server::start(None, 1).await;
        let (client, backend) = (client(), backend(server.address, http2));
        for _ in 0..3 {
            let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
            drop(client.dispatch(&backend, &mut picked, get("/")).await.unwrap());
        }
        assert!(exchange(&client, &backend, get("/")).await.unwrap().attempt.reused);
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn requests_per_connection_are_counted() {
    on_a_core(async {
        let server = Server::start(None, 1).await;
        let (client, backend) = (
            client(),
            backend(server.address, |spec| {
                http2(spec);
                spec.connection.max_requests = 2;
            }),
        );
        for _ in 0..6 {
            exchange(&client, &backend, get("/")).await.unwrap();
        }
        assert_eq!(server.connections.get(), 3);
    });
}

#[test]
fn a_refused_connection_fails_all_that_wait_for_it() {
    on_a_core(async {
        let (client, backend) = (client(), backend(refusing().await, http2));
        let exchanges = (0..5).map(|_| exchange(&client, &backend, get("/")));
        for exchanged in join_all(exchanges).await {
            assert_eq!(exchanged.unwrap_err().kind, UpstreamErrorKind::ConnectRefused);
        }
        assert_eq!(backend.live().circuit.pending(), 0);
    });
}

#[test]
fn an_upgrade_is_not_possible() {
    on_a_core(async {
        let server = Server::start(None, 1).await;
        let (client, backend) = (client(), backend(server.address, http2));
        let mut request = get("/");
        request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        let error = exchange(&client, &backend, request).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Protocol);
        assert!(!error.sent);
    });
}

/// A server by hand: each connection is served by `serve`.
async fn by_hand<F: Future<Output = ()> + 'static>(
    serve: impl Fn(h2::server::Connection<tokio::net::TcpStream, Bytes>, usize) -> F + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            spawn_local(serve(h2::server::handshake(stream).await.unwrap(), number));
        }
    });
    address
}

fn ok(mut respond: h2::server::SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

#[test]
fn a_refused_stream_is_safe_to_try_again() {
    on_a_core(async {
        let address = by_hand(|mut connection, _| async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        })
        .await;
        let (client, backend) = (client(), backend(address, http2));
        let error = exchange(&client, &backend, get("/")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Refused);
        assert!(!error.sent);
    });
}

#[test]
fn another_reset_is_not() {
    on_a_core(async {
        let address = by_hand(|mut connection, _| async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        })
        .await;
        let (client, backend) = (client(), backend(address, http2));
        let error = exchange(&client, &backend, get("/")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::ResetBeforeResponse);
        assert!(error.sent);
    });
}

#[test]
fn after_a_goaway_another_connection_is_used() {
    on_a_core(async {
        let address = by_hand(|mut connection, number| async move {
            let mut served = 0;
            while let Some(Ok((_, respond))) = connection.accept().await {
                served += 1;
                ok(respond);
                if number == 0 && served == 3 {
                    connection.graceful_shutdown();
                }
            }
        })
        .await;
        let (client, backend) = (client(), backend(address, http2));
        for _ in 0..10 {
            // A request that crosses the GOAWAY is refused unprocessed; no other failure is allowed.
            if let Err(error) = exchange(&client, &backend, get("/")).await {
                assert!(!error.sent, "{error:?}");
            }
        }
        assert!(exchange(&client, &backend, get("/")).await.is_ok());
    });
}

#[test]
fn a_connection_that_breaks_fails_its_requests_as_sent() {
    on_a_core(async {
        let address = by_hand(|mut connection, _| async move {
            let _request = connection.accept().await;
        })
        .await;
        let (client, backend) = (client(), backend(address, http2));
        let error = exchange(&client, &backend, get("/")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::ResetBeforeResponse);
        assert!(error.sent);
    });
}

#[test]
fn a_body_that_is_sent_arrives() {
    on_a_core(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: Request<Incoming>| async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(Response::new(Full::new(body)))
            });
            let builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
            builder.serve_connection(TokioIo::new(stream), service).await.unwrap();
        });
        let (client, backend) = (client(), backend(address, http2));
        let sent = Bytes::from(vec![7; 1 << 20]);
        let request = Request::post("/").header("host", "a.example").body(Full::new(sent.clone())).unwrap();
        assert_eq!(exchange(&client, &backend, request).await.unwrap().response.body(), &sent);
    });
}
