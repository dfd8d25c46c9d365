//! HTTP/1.1: reuse, and every reason against it.

use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use model::{Address, SendProxyProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::*;
use crate::upstream::*;

/// Two requests one after the other; how many connections they took.
async fn connections_for_two(reply: Reply) -> usize {
    let server = Raw::always(reply).await;
    let (client, backend) = (client(), backend(server.address, |_| {}));
    for _ in 0..2 {
        let _ = exchange(&client, &backend, get("/")).await;
    }
    server.connections()
}

#[test]
fn a_connection_is_reused_after_every_clean_end() {
    on_a_core(async {
        for clean in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ] {
            assert_eq!(connections_for_two(Reply::Send(clean)).await, 1, "{clean:?}");
        }
    });
}

#[test]
fn a_connection_is_not_reused_after_anything_else() {
    on_a_core(async {
        for (unclean, reply) in [
            (
                "asked to close",
                Reply::Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
            ),
            ("HTTP/1.0", Reply::Send("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")),
            ("body until the end", Reply::SendAndClose("HTTP/1.1 200 OK\r\n\r\nok")),
            ("short body", Reply::SendAndClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")),
            (
                "short chunk",
                Reply::SendAndClose("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok"),
            ),
            (
                "a second answer",
                Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"),
            ),
            ("not HTTP", Reply::Send("SSH-2.0-OpenSSH_9.9\r\n\r\n")),
        ] {
            assert_eq!(connections_for_two(reply).await, 2, "{unclean}");
        }
    });
}

#[test]
fn the_latest_connection_is_used_first() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        let exchanges = (0..3).map(|_| exchange(&client, &backend, get("/")));
        assert!(join_all(exchanges).await.iter().all(Result::is_ok));
        assert_eq!(server.connections(), 3);
        for _ in 0..5 {
            assert!(exchange(&client, &backend, get("/again")).await.unwrap().attempt.reused);
        }
        let again: Vec<usize> = server.seen()[3..].iter().map(|seen| seen.connection).collect();
        assert_eq!(again.len(), 5);
        assert!(again.windows(2).all(|pair| pair[0] == pair[1]), "{again:?}");
    });
}

#[test]
fn what_is_sent_is_http11_in_origin_form() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        let mut request = get("http://b.example:8080/p?q");
        request.headers_mut().remove("host");
        *request.version_mut() = http::Version::HTTP_2;
        let exchanged = exchange(&client, &backend, request).await.unwrap();
        assert_eq!(exchanged.response.body(), "ok");
        assert!(!exchanged.attempt.reused && !exchanged.attempt.http2);
        assert_eq!(exchanged.attempt.remote, Some(server.address));
        assert!(exchanged.attempt.local.is_some() && exchanged.attempt.connect.is_some());
        assert_eq!(server.seen()[0].head, "GET /p?q HTTP/1.1\r\nhost: b.example:8080\r\n\r\n");
    });
}

#[test]
fn a_body_that_is_dropped_early_takes_its_connection_along() {
    on_a_core(async {
        let server = Raw::always(Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let response = client.dispatch(&backend, &mut picked, get("/")).await.unwrap();
        drop(response);
        until(|| server.closed() == 1).await;
    });
}

#[test]
fn a_body_without_bytes_gives_back_without_being_read() {
    on_a_core(async {
        let server = Raw::always(Reply::Send("HTTP/1.1 204 No Content\r\n\r\n")).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        for _ in 0..3 {
            let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
            drop(client.dispatch(&backend, &mut picked, get("/")).await.unwrap());
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_short_body_is_an_error_within_the_response() {
    on_a_core(async {
        let server = Raw::always(Reply::SendAndClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        let error = exchange(&client, &backend, get("/")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::ResetMidResponse);
        assert!(error.sent);
    });
}

#[test]
fn an_answer_before_the_request_ends_costs_the_connection() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        // More than all buffers on the way can hold, so that it cannot have been sent.
        let body = Full::new(Bytes::from(vec![0; 64 << 20]));
        let request = Request::post("/unread").header("host", "a.example").body(body).unwrap();
        let exchanged = exchange(&client, &backend, request).await.unwrap();
        assert_eq!(exchanged.response.status(), 200);
        assert!(!exchange(&client, &backend, get("/")).await.unwrap().attempt.reused);
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn an_upgraded_connection_is_the_callers() {
    on_a_core(async {
        let server = Raw::start(|seen| match seen.head.contains("upgrade: echo") {
            true => Reply::SendAndEcho(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello ",
            ),
            false => OK,
        })
        .await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        exchange(&client, &backend, get("/")).await.unwrap();
        let mut request = get("/chat");
        request.headers_mut().insert("connection", "upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "echo".parse().unwrap());
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let response = client.dispatch(&backend, &mut picked, request).await.unwrap();
        assert_eq!(response.status(), 101);
        assert!(picked.attempt().reused);
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tunnel.write_all(b"world").await.unwrap();
        let mut heard = [0; 11];
        tunnel.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello world");
        assert!(!exchange(&client, &backend, get("/")).await.unwrap().attempt.reused);
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn a_connection_that_died_in_the_pool_is_replaced() {
    on_a_core(async {
        let server = Raw::always(Reply::SendAndClose("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        for _ in 0..20 {
            exchange(&client, &backend, get("/")).await.unwrap();
        }
        assert_eq!(server.seen().len(), 20, "each request reached the server once");
    });
}

#[test]
fn a_reused_connection_that_ends_after_the_request_is_told_apart() {
    on_a_core(async {
        let server =
            Raw::start(|seen| if seen.head.contains("/last") { Reply::SendAndClose("") } else { OK }).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        exchange(&client, &backend, get("/")).await.unwrap();
        let error = exchange(&client, &backend, get("/last")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::ResetBeforeResponse);
        assert!(error.sent && error.reused);
        let error = exchange(&client, &backend, get("/last")).await.unwrap_err();
        assert!(error.sent && !error.reused);
        assert_eq!(server.seen().len(), 3, "nothing was tried again unasked");
    });
}

#[test]
fn a_refused_connection_gives_the_request_back() {
    on_a_core(async {
        let (client, backend) = (client(), backend(refusing().await, |_| {}));
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let failed = client.dispatch(&backend, &mut picked, get("/p")).await.unwrap_err();
        assert_eq!(failed.error.kind, UpstreamErrorKind::ConnectRefused);
        assert!(!failed.error.sent);
        assert_eq!(failed.request.unwrap().uri(), "/p");
    });
}

#[test]
fn names_are_resolved_and_may_fail_to() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let client = client();
        let named = |name: &str| {
            let address = Address::Name(name.into());
            backend_with(vec![endpoint(address, server.address.port())], &Default::default(), |_| {})
        };
        assert!(exchange(&client, &named("good.test"), get("/")).await.is_ok());
        let error = exchange(&client, &named("bad.test"), get("/")).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Resolve);
        assert!(!error.sent);
    });
}

#[test]
fn a_proxy_header_names_the_client_and_binds_the_connection() {
    on_a_core(async {
        let server = Raw::start(|seen| match seen.head.starts_with("PROXY") {
            true => OK,
            false => Reply::Hang,
        })
        .await;
        let client = client();
        let backend = backend(server.address, |spec| spec.connection.proxy_protocol = SendProxyProtocol::V1);
        for port in [1111, 2222] {
            let source =
                ProxySource { client: ([192, 0, 2, 1], port).into(), server: ([192, 0, 2, 2], 80).into() };
            let hints = PickHints { source: Some(source), ..PickHints::default() };
            let mut picked = client.pick(&backend, &hints).unwrap();
            let response = client.dispatch(&backend, &mut picked, get("/")).await.unwrap();
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        }
        let seen = server.seen();
        assert!(seen[0].head.starts_with("PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\nGET / "), "{seen:?}");
        assert!(seen[1].head.starts_with("PROXY TCP4 192.0.2.1 192.0.2.2 2222 80\r\nGET / "), "{seen:?}");
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn raw_connections_carry_bytes_and_count() {
    on_a_core(async {
        let server = Raw::always(Reply::SendAndEcho("hello ")).await;
        let (client, backend) = (client(), backend(server.address, |spec| spec.circuit.connections = 1));
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let mut stream = client.connect_raw(&backend, &mut picked).await.unwrap();
        assert_eq!(picked.attempt().remote, Some(server.address));
        stream.write_all(b"x\r\n\r\nworld").await.unwrap();
        let mut heard = [0; 11];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello world");
        let error = client.connect_raw(&backend, &mut picked).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::CircuitOpen(CircuitLimit::Connections));
        drop(stream);
        assert!(client.connect_raw(&backend, &mut picked).await.is_ok());
        assert_eq!(client.address(&picked).await.unwrap(), server.address);
    });
}
