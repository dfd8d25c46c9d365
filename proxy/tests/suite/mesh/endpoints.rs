//! Meshed endpoints: who is dialled, and that nobody else is, and never in the clear.

use identity::testing::time;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn plan(backend: &Workload, wire: MeshWire, ids: &[&str]) -> Plan {
    meshed(Plan::new().backend("b", &[backend.address]).rule(forward("b")), "b", wire, ids)
}

#[tokio::test]
async fn a_meshed_endpoint_is_dialled_by_who_it_is() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let backend = Workload::start(&world.workload(CART)).await;
    let mut gateway = Gateway::start_with(plan(&backend, MeshWire::Istio, &[REPORTS, CART]), settings).await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, answer.text()), (200, "meshed"));
    assert_eq!(backend.last().1.as_deref(), Some("istio-http/1.1"));
    let line = log.lines(&gateway, 1).await.remove(0);
    assert_eq!(line["upstream_peer_spiffe_id"], CART);

    for (wire, protocol, alpn) in [
        (MeshWire::Istio, BackendProtocol::Http2, "istio-h2"),
        (MeshWire::Spiffe, BackendProtocol::Auto, "h2"),
        (MeshWire::Spiffe, BackendProtocol::Http1, "http/1.1"),
    ] {
        let one = Plan::new().backend_with("b", &[backend.address], |spec| spec.protocol = protocol);
        gateway.apply(meshed(one.rule(forward("b")), "b", wire, &[CART])).await;
        assert_eq!(gateway.get("/").await.status, 200, "{wire:?} {protocol:?}");
        assert_eq!(backend.last().1.as_deref(), Some(alpn));
    }
}

#[tokio::test]
async fn whoever_is_not_who_it_should_be_gets_no_request() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let partner = TestCa::new("partner.example");
    let rogue = TestCa::new("cluster.local");
    let all = || federated(&[&world.ca, &partner]);
    let (past, _hand) = Clock::by_hand(world.start - std::time::Duration::from_secs(3600));
    let old = world.ca.issue_with(CART, |params| {
        params.not_after = time(world.start - std::time::Duration::from_secs(60));
    });
    let cases = [
        ("is not among the peers", world.workload(REPORTS)),
        (
            "no bundle",
            stranger(partner.issue("spiffe://partner.example/ns/shop/sa/cart"), all(), Clock::system()),
        ),
        ("signature", stranger(rogue.issue(CART), together(&[&world.ca, &rogue]), Clock::system())),
        ("ended at", stranger(old.svid(PeerProfile::SpiffeStrict), world.ca.bundles(), past)),
    ];
    let plain = Server::named("in the clear").await;
    let first = plan(&Workload::start(&world.workload(CART)).await, MeshWire::Spiffe, &[CART]);
    let mut gateway = Gateway::start_with(first, settings).await;
    for (count, (reason, identity)) in cases.iter().enumerate() {
        let backend = Workload::start(identity).await;
        let ids = [CART, "spiffe://partner.example/ns/shop/sa/cart"];
        let ids = if *reason == "is not among the peers" { &ids[..1] } else { &ids };
        gateway.apply(plan(&backend, MeshWire::Spiffe, ids)).await;
        assert_eq!(gateway.get("/").await.status, 503, "{reason}");
        assert!(backend.seen.lock().unwrap().is_empty());
        let line = log.lines(&gateway, count + 1).await.pop().unwrap();
        let why = line["upstream_transport_failure_reason"].as_str().unwrap();
        assert!(why.contains(reason), "{why}");
        assert_eq!(line["response_flags"], "UF");
    }
    let clear = Plan::new().backend("b", &[plain.address]).rule(forward("b"));
    gateway.apply(meshed(clear, "b", MeshWire::Spiffe, &[CART])).await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert!(plain.seen().is_empty(), "never in the clear");
    // Nobody is named: nobody it is.
    let backend = Workload::start(&world.workload(CART)).await;
    gateway.apply(plan(&backend, MeshWire::Spiffe, &[])).await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert!(backend.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_endpoint_is_not_connected_to() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let (closed, open) = (Workload::start(&world.workload(CART)).await, Server::named("open").await);
    let reason = Reach::Closed { reason: "its service account is not known".into() };
    let alone = Plan::new().backend("b", &[closed.address]).rule(forward("b"));
    let mut gateway = Gateway::start_with(reached(alone, "b", reason.clone()), settings).await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(closed.accepted(), 0);
    let line = log.lines(&gateway, 1).await.remove(0);
    assert!(line["upstream_transport_failure_reason"].as_str().unwrap().contains("service account"));
    assert_eq!(line["response_flags"], "UF");

    let mut both = Plan::new().backend("b", &[closed.address, open.address]).rule(forward("b"));
    Arc::make_mut(both.0.endpoints.get_mut("b").unwrap()).0[0].reach = reason;
    gateway.apply(both).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "open", "the others take its share");
    }
    assert_eq!(closed.accepted(), 0);
}

#[tokio::test]
async fn without_material_nothing_is_dialled_and_the_rest_goes_on() {
    let (world, settings) = World::new();
    world.hold_back();
    let free = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings { admin: free, health: free, ..settings };
    let (backend, plain) = (Workload::start(&world.workload(CART)).await, Server::named("plain").await);
    let meshed_backend = Plan::new()
        .backend("b", &[backend.address])
        .backend("p", &[plain.address])
        .prefix("/plain", vec![], forward("p"))
        .rule(forward("b"));
    let gateway = Gateway::start_with(meshed(meshed_backend, "b", MeshWire::Istio, &[CART]), settings).await;
    let surfaces = gateway.proxy.as_ref().unwrap().surfaces();
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(backend.accepted(), 0);
    assert_eq!(gateway.get("/plain").await.status, 200);
    let (status, ready) = page(surfaces.health.unwrap(), "/healthz/ready").await;
    assert_eq!((status, &ready["ready"]), (200, &true.into()));
    assert!(ready["degraded"][0].as_str().unwrap().contains("mesh"), "{ready}");

    world.publish(world.ca.issue(OWN), world.ca.bundles());
    assert_eq!(gateway.get("/").await.status, 200);
    let (_, ready) = page(surfaces.health.unwrap(), "/healthz/ready").await;
    assert_eq!(ready["degraded"], serde_json::Value::Null);
    let (_, identities) = page(surfaces.admin.unwrap(), "/identities").await;
    assert_eq!(
        (&identities[0]["name"], &identities[0]["id"], &identities[0]["ready"]),
        (&"mesh".into(), &OWN.into(), &true.into())
    );
    let (_, endpoints) = page(surfaces.admin.unwrap(), "/endpoints").await;
    assert_eq!(endpoints["b"][0]["reach"]["mesh"]["ids"][0], CART);
    assert_eq!(metric(&gateway, "diolkos_identity_ready{identity=\"mesh\"}"), 1);
}

#[tokio::test]
async fn connections_outlive_a_configuration_and_are_never_used_for_another_peer() {
    let (world, settings) = World::new();
    let backend = Workload::start(&world.workload(CART)).await;
    let mut gateway = Gateway::start_with(plan(&backend, MeshWire::Istio, &[CART]), settings).await;
    assert_eq!(gateway.get("/").await.status, 200);
    let mut same = plan(&backend, MeshWire::Istio, &[CART]);
    same.0.routes.insert("another".into(), Arc::default());
    gateway.apply(same).await;
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!((backend.accepted(), world.started()), (1, 1));
    // Another trust domain is no reason to begin anew.
    let mut wider = plan(&backend, MeshWire::Istio, &[CART]);
    let origin = Origin::new("FederatedTrustDomain", "", "partner");
    let partner = FederatedDomain { origin, endpoint: None, bootstrap: None };
    wider.0.trust_domains.insert("partner.example".into(), Arc::new(partner));
    gateway.apply(wider).await;
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!((backend.accepted(), world.started()), (1, 1));
    world.told(&[&["partner.example"]]).await;
    gateway.apply(plan(&backend, MeshWire::Istio, &[REPORTS])).await;
    world.told(&[&["partner.example"], &[]]).await;
    assert_eq!(gateway.get("/").await.status, 503, "what was verified as one peer is not another");
    // A snapshot that is refused takes nothing along.
    let broken = plan(&backend, MeshWire::Istio, &[CART]).rule(forward("missing"));
    assert!(gateway.apply(broken).await.error.is_some());
    gateway.apply(plan(&backend, MeshWire::Istio, &[CART])).await;
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(world.started(), 1);
    let mut other = plan(&backend, MeshWire::Istio, &[CART]);
    Arc::make_mut(other.0.identities.get_mut("mesh").unwrap()).source =
        IdentitySource::Closed { reason: "x".into() };
    gateway.apply(other).await;
    let before = backend.accepted();
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(
        (backend.accepted(), world.started()),
        (before + 1, 2),
        "another identity, another connection"
    );
}

#[tokio::test]
async fn bytes_and_checks_take_the_same_way() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let backend = Workload::start(&world.workload(CART)).await;
    let bytes = Plan::new().backend_with("b", &[backend.address], |spec| {
        spec.health.active = Some(ActiveHealth {
            probe: Probe::Http { path: "/healthz".into(), host: "".into(), statuses: vec![] },
            interval: std::time::Duration::from_secs(60),
            timeout: LONG,
            healthy_threshold: 1,
            unhealthy_threshold: 1,
        });
    });
    let mut bytes = meshed(bytes, "b", MeshWire::Istio, &[CART]);
    bytes.0.listeners.get_mut("l").unwrap().protocol = Protocol::Tcp(Some(L4Rule {
        origin: Origin::new("TCPRoute", "ns", "r"),
        backends: vec![weighted("b", 1)],
        idle_timeout: LONG,
    }));
    let gateway = Gateway::start_with(bytes, settings).await;
    soon(async {
        while backend.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(backend.last().0["user-agent"], "diolkos-health");
    let mut stream = gateway.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("meshed"), "{answer}");
    assert_eq!(backend.last().1.as_deref(), Some("istio"));
    drop(stream);
    assert_eq!(log.lines(&gateway, 1).await[0]["upstream_peer_spiffe_id"], CART);
}

#[tokio::test]
async fn no_datagram_goes_to_a_meshed_endpoint() {
    let (_world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let one = Plan::new()
        .backend_with("b", &[socket.local_addr().unwrap()], |spec| spec.protocol = BackendProtocol::Udp);
    let mut plan = meshed(one, "b", MeshWire::Spiffe, &[CART]);
    plan.0.listeners.get_mut("l").unwrap().protocol = Protocol::Udp(Some(L4Rule {
        origin: Origin::new("UDPRoute", "ns", "r"),
        backends: vec![weighted("b", 1)],
        idle_timeout: LONG,
    }));
    let gateway = Gateway::start_with(plan, settings).await;
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"secret", gateway.address).await.unwrap();
    let line = log.lines(&gateway, 1).await.remove(0);
    assert!(line["upstream_transport_failure_reason"].as_str().unwrap().contains("no datagrams"), "{line}");
    assert!(socket.try_recv(&mut [0; 16]).is_err());
}

#[tokio::test]
async fn an_upgrade_to_a_meshed_endpoint_is_offered_http1_alone() {
    let (world, settings) = World::new();
    let backend = Workload::start(&world.workload(CART)).await;
    let gateway = Gateway::start_with(plan(&backend, MeshWire::Spiffe, &[CART]), settings).await;
    let request = Request::get("/").header("host", "a.example").header("connection", "upgrade");
    let answer = gateway.send(request.header("upgrade", "websocket").body(Bytes::new()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let (headers, alpn) = backend.last();
    assert_eq!((headers["upgrade"].to_str().unwrap(), alpn.as_deref()), ("websocket", Some("http/1.1")));
}
