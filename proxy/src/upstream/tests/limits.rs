//! Circuit limits, idle time, requests per connection, ejection by traffic.

use std::time::Duration;

use futures_util::future::{join, join_all};
use model::{Address, Algorithm, Outlier};
use tokio::task::spawn_local;

use super::support::*;
use crate::upstream::*;

#[test]
fn one_connection_serves_all_in_turn() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |spec| spec.circuit.connections = 1));
        let exchanges = (0..20).map(|_| exchange(&client, &backend, get("/")));
        assert!(join_all(exchanges).await.iter().all(Result::is_ok));
        assert_eq!(server.connections(), 1);
        assert_eq!(backend.live().circuit.connections(), 1);
        assert_eq!(backend.live().circuit.pending(), 0);
    });
}

#[test]
fn beyond_the_limits_requests_are_refused() {
    on_a_core(async {
        let server = Raw::always(Reply::Hang).await;
        let client = client();
        let backend = backend(server.address, |spec| {
            spec.circuit.connections = 1;
            spec.circuit.pending = 1;
            spec.connection.connect_timeout = Duration::from_millis(50);
        });
        let (hanging_client, hanging_backend) = (client.clone(), Arc::clone(&backend));
        let hanging =
            spawn_local(async move { exchange(&hanging_client, &hanging_backend, get("/")).await.map(drop) });
        until(|| server.seen().len() == 1).await;
        let (second, third) =
            join(exchange(&client, &backend, get("/")), exchange(&client, &backend, get("/"))).await;
        let kind = |result: Result<Exchanged, UpstreamError>| result.unwrap_err().kind;
        assert_eq!(kind(third), UpstreamErrorKind::CircuitOpen(CircuitLimit::Pending));
        assert_eq!(kind(second), UpstreamErrorKind::CircuitOpen(CircuitLimit::Connections));
        hanging.abort();
        until(|| backend.live().circuit.connections() == 0).await;
        assert_eq!(backend.live().circuit.pending(), 0);
        assert!(backend.members().iter().all(|member| member.state.in_flight() == 0));
    });
}

#[test]
fn an_idle_connection_makes_room_for_another_endpoint() {
    on_a_core(async {
        let (one, other) = (Raw::always(OK).await, Raw::always(OK).await);
        let client = client();
        let endpoints = [one.address, other.address]
            .map(|address| endpoint(Address::Ip(address.ip()), address.port()))
            .to_vec();
        let backend = backend_with(endpoints, &Default::default(), |spec| {
            spec.circuit.connections = 1;
            spec.balance.algorithm = Algorithm::RoundRobin;
        });
        for _ in 0..6 {
            exchange(&client, &backend, get("/")).await.unwrap();
        }
        assert_eq!((one.seen().len(), other.seen().len()), (3, 3));
        assert!(backend.live().circuit.connections() <= 1);
    });
}

#[test]
fn a_cancelled_request_leaves_nothing_behind() {
    on_a_core(async {
        let server = Raw::start(|seen| if seen.head.contains("/hang") { Reply::Hang } else { OK }).await;
        let (client, backend) = (client(), backend(server.address, |spec| spec.circuit.connections = 1));
        let (cancelled_client, cancelled_backend) = (client.clone(), Arc::clone(&backend));
        let cancelled = spawn_local(async move {
            exchange(&cancelled_client, &cancelled_backend, get("/hang")).await.map(drop)
        });
        until(|| server.seen().len() == 1).await;
        cancelled.abort();
        exchange(&client, &backend, get("/")).await.unwrap();
        assert_eq!(server.connections(), 2, "the connection with the request on it is closed");
    });
}

#[test]
fn connections_end_after_their_requests() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |spec| spec.connection.max_requests = 2));
        for _ in 0..6 {
            exchange(&client, &backend, get("/")).await.unwrap();
        }
        let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 0, 1, 1, 2, 2]);
    });
}

#[test]
fn idle_connections_are_closed() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (
            client(),
            backend(server.address, |spec| {
                spec.connection.idle_timeout = Duration::from_millis(5);
            }),
        );
        exchange(&client, &backend, get("/")).await.unwrap();
        until(|| {
            client.sweep();
            server.closed() == 1
        })
        .await;
        until(|| backend.live().circuit.connections() == 0).await;
        assert!(client.shared.pools.borrow().is_empty());
    });
}

#[test]
fn a_busy_pool_is_not_swept_away() {
    on_a_core(async {
        let server = Raw::always(OK).await;
        let (client, backend) = (client(), backend(server.address, |_| {}));
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let response = client.dispatch(&backend, &mut picked, get("/")).await.unwrap();
        client.sweep();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        exchange(&client, &backend, get("/")).await.unwrap();
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_endpoint_that_fails_is_left_out() {
    on_a_core(async {
        let bad =
            Raw::always(Reply::Send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")).await;
        let good = Raw::always(OK).await;
        let gone = refusing().await;
        let endpoints = [bad.address, good.address, gone]
            .map(|address| endpoint(Address::Ip(address.ip()), address.port()))
            .to_vec();
        let client = client();
        let backend = backend_with(endpoints, &Default::default(), |spec| {
            spec.balance.algorithm = Algorithm::RoundRobin;
            spec.health.outlier = Some(Outlier {
                consecutive_5xx: 2,
                ejection: Duration::from_secs(3600),
                max_ejected_percent: 70,
            });
        });
        for _ in 0..6 {
            let _ = exchange(&client, &backend, get("/")).await;
        }
        let now = clock::Moment::now();
        let ejected: Vec<bool> = backend.members().iter().map(|member| member.state.ejected(now)).collect();
        assert_eq!(ejected, [true, false, true]);
        for _ in 0..10 {
            assert_eq!(exchange(&client, &backend, get("/")).await.unwrap().response.status(), 200);
        }
    });
}

#[test]
fn a_connect_timeout_is_said() {
    on_a_core(async {
        // A backlog of one that nobody accepts from: further handshakes hang.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let client = client();
        let backend = backend(address, |spec| spec.connection.connect_timeout = Duration::from_millis(50));
        let mut held = Vec::new();
        // The kernel rounds the backlog up by a few.
        for _ in 0..16 {
            let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
            match client.connect_raw(&backend, &mut picked).await {
                Ok(stream) => held.push(stream),
                Err(error) => {
                    assert_eq!(error.kind, UpstreamErrorKind::ConnectTimeout);
                    return;
                }
            }
        }
        panic!("all connections were made");
    });
}
