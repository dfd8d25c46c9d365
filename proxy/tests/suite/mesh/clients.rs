//! Mesh peers as clients: who is let in, and what the backend is told of them.

use identity::testing::time;
use identity::{WorkloadId, pinned_client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Dials without a certificate.
async fn anonymous(world: &World, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let own = [WorkloadId::parse(OWN).unwrap()];
    let (profile, clock) = (PeerProfile::SpiffeStrict, Clock::system());
    let config =
        pinned_client_config(&world.ca.bundles(), &own, profile, clock, None, ClientAlpn::Http1).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config.config).connect(config.server_name, stream).await
}

#[tokio::test]
async fn strict_lets_in_mesh_peers_and_nobody_else() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let backend = Server::named("hello").await;
    let gateway = Gateway::start_with(taking(MeshMode::Strict, Plan::to(&backend)), settings).await;
    let partner = TestCa::new("partner.example");
    world.publish(world.ca.issue(OWN), federated(&[&world.ca, &partner]));
    let address = gateway.address;

    let cart = world.workload(CART);
    for (wire, alpn) in [
        (MeshWire::Istio, ClientAlpn::Http1),
        (MeshWire::Istio, ClientAlpn::Http2),
        (MeshWire::Istio, ClientAlpn::None),
        (MeshWire::Spiffe, ClientAlpn::Http),
        (MeshWire::Spiffe, ClientAlpn::None),
    ] {
        let answer = ask(dial(address, &cart, wire, alpn).await, &[]).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{wire:?} {alpn:?}");
    }
    let taken = backend.seen().len();

    let both = || together(&[&world.ca]);
    let rogue = TestCa::new("cluster.local");
    let old = world.ca.issue_with(CART, |params| {
        params.not_after = time(world.start - std::time::Duration::from_secs(60));
    });
    let (past, _hand) = Clock::by_hand(world.start - std::time::Duration::from_secs(3600));
    let strangers = [
        ("not_allowed", world.workload(REPORTS)),
        (
            "not_allowed",
            stranger(
                partner.issue("spiffe://partner.example/ns/shop/sa/cart"),
                federated(&[&world.ca, &partner]),
                Clock::system(),
            ),
        ),
        ("bad_signature", stranger(rogue.issue(CART), together(&[&world.ca, &rogue]), Clock::system())),
        ("expired", stranger(old.svid(PeerProfile::SpiffeStrict), both(), past)),
    ];
    for (reason, identity) in &strangers {
        let asked = ask(dial(address, identity, MeshWire::Spiffe, ClientAlpn::Http1).await, &[]).await;
        assert!(asked.is_err(), "{reason}: {asked:?}");
    }
    assert!(ask(anonymous(&world, address).await, &[]).await.is_err());
    assert_eq!(gateway.raw("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await, "");
    assert_eq!(backend.seen().len(), taken, "nothing came through");

    let lines = log.lines(&gateway, taken + 6).await;
    assert!(lines[..taken].iter().all(|line| line["peer_spiffe_id"] == CART), "{lines:?}");
    let why: Vec<_> =
        lines[taken..].iter().map(|line| line["connection_termination_details"].as_str()).collect();
    assert_eq!(why, [[Some("client_certificate"); 5].as_slice(), &[Some("plaintext")]].concat());
    assert!(lines[taken].to_string().contains("is not among the peers"), "{}", lines[taken]);
    assert!(lines[taken + 3].to_string().contains("ended at"), "{}", lines[taken + 3]);
    let refused = |rest: &str| {
        metric(
            &gateway,
            &format!(
                "diolkos_identity_handshakes_refused_total{{identity=\"mesh\",peer=\"client\",reason=\"{rest}\"}}"
            ),
        )
    };
    assert_eq!((refused("not_allowed"), refused("expired")), (2, 1));
    assert_eq!(
        metric(
            &gateway,
            "diolkos_mesh_connections_refused_total{identity=\"mesh\",side=\"downstream\",reason=\"plaintext\"}"
        ),
        1
    );
    assert_eq!(
        metric(&gateway, "diolkos_listener_tls_failures_total{listener=\"l\",reason=\"plaintext\"}"),
        1
    );
}

#[tokio::test]
async fn permissive_lets_in_others_but_no_wrong_certificate() {
    let (world, settings) = World::new();
    let backend = Server::named("hello").await;
    let gateway = Gateway::start_with(taking(MeshMode::Permissive, Plan::to(&backend)), settings).await;
    let cart = world.workload(CART);
    let address = gateway.address;
    assert_eq!(
        ask(dial(address, &cart, MeshWire::Istio, ClientAlpn::Http1).await, &[]).await.unwrap().status,
        200
    );
    assert_eq!(ask(anonymous(&world, address).await, &[]).await.unwrap().status, 200);
    assert_eq!(gateway.get("/").await.status, 200);
    let reports = world.workload(REPORTS);
    assert!(ask(dial(address, &reports, MeshWire::Istio, ClientAlpn::Http1).await, &[]).await.is_err());
    assert_eq!(backend.seen().len(), 3);
}

#[tokio::test]
async fn what_untrusted_peers_say_of_others_does_not_come_through() {
    const CLAIMS: [(&str, &str); 5] = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-client-cert", "By=spiffe://a/b;URI=spiffe://cluster.local/ns/shop/sa/admin"),
        ("x-forwarded-proto", "gopher"),
        ("forwarded", "for=10.0.0.1"),
        ("x-envoy-external-address", "10.0.0.1"),
    ];
    let (world, settings) = World::new();
    let backend = Server::named("hello").await;
    let trusting = |mode: ClientCertHeader| {
        taking(MeshMode::Permissive, Plan::to(&backend)).connection(|policy| {
            policy.forwarded.client_cert = mode;
            policy.forwarded.trusted_peers = vec![PeerMatch::Id(CART.into())];
        })
    };
    let mut gateway = Gateway::start_with(trusting(ClientCertHeader::AppendForward), settings).await;
    let (cart, other) = (world.workload(CART), world.workload("spiffe://cluster.local/ns/shop/sa/other"));
    let over = async |gateway: &Gateway, identity: &Identity| {
        let stream = dial(gateway.address, identity, MeshWire::Istio, ClientAlpn::Http1).await;
        assert_eq!(ask(stream, &CLAIMS).await.unwrap().status, 200);
        backend.last()
    };
    let certificate = |seen: &Seen| seen.header("x-forwarded-client-cert").to_owned();

    let seen = over(&gateway, &other).await;
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert!(
        !seen.headers.contains_key("forwarded") && !seen.headers.contains_key("x-envoy-external-address")
    );
    let told = certificate(&seen);
    assert!(!told.contains("admin") && told.starts_with(&format!("By={OWN};Hash=")), "{told}");
    assert!(told.ends_with(";Subject=\"\";URI=spiffe://cluster.local/ns/shop/sa/other"), "{told}");

    // In the clear nobody is anybody.
    let mut request = Request::get("/").header("host", "a.example");
    for (name, value) in CLAIMS {
        request = request.header(name, value);
    }
    gateway.send(request.body(Bytes::new()).unwrap()).await;
    let seen = backend.last();
    assert_eq!(
        named(&seen.headers, &["x-forwarded-client-cert", "x-forwarded-for", "forwarded"]),
        [("x-forwarded-for", "127.0.0.1")].into()
    );

    let seen = over(&gateway, &cart).await;
    assert_eq!(seen.header("x-forwarded-for"), "10.0.0.1, 127.0.0.1", "the trusted peer is believed");
    let told = certificate(&seen);
    assert!(told.starts_with(&format!("{},By={OWN};Hash=", CLAIMS[1].1)), "{told}");
    assert!(told.ends_with(&format!("URI={CART}")), "{told}");

    gateway.apply(trusting(ClientCertHeader::ForwardOnly)).await;
    assert_eq!(certificate(&over(&gateway, &cart).await), CLAIMS[1].1);
    assert_eq!(certificate(&over(&gateway, &other).await), "");
    gateway.apply(trusting(ClientCertHeader::SanitizeSet)).await;
    let told = certificate(&over(&gateway, &cart).await);
    assert!(told.starts_with("By=") && !told.contains("admin"), "{told}");
    gateway.apply(trusting(ClientCertHeader::Sanitize)).await;
    assert_eq!(certificate(&over(&gateway, &cart).await), "");
}

/// A TLS listener that shows the SVID and demands peers.
fn svid_listener(backend: &Server, client_auth: ClientAuth) -> Plan {
    let mut plan = with_identity(Plan::to(backend));
    let tls = ServerTls {
        certificates: vec![],
        svid: Some("mesh".into()),
        min_version: TlsVersion::V1_2,
        client_auth,
    };
    let listener = plan.0.listeners.get_mut("l").unwrap();
    let Protocol::Http(servers) = &listener.protocol else { unreachable!("the plan is for HTTP") };
    let terminate = |server: &HttpServer| TlsServer::Terminate {
        tls: tls.clone(),
        inner: TlsInner::Http(server.clone()),
    };
    listener.protocol =
        Protocol::Tls(servers.iter().map(|(host, server)| (host.clone(), terminate(server))).collect());
    plan
}

#[tokio::test]
async fn a_tls_listener_shows_the_svid_and_old_connections_follow_the_policy() {
    let (world, settings) = World::new();
    let backend = Server::named("hello").await;
    let mut gateway =
        Gateway::start_with(svid_listener(&backend, ClientAuth::Mesh(clients(MeshMode::Strict))), settings)
            .await;
    assert!(ask(anonymous(&world, gateway.address).await, &[]).await.is_err());
    let stream =
        dial(gateway.address, &world.workload(CART), MeshWire::Istio, ClientAlpn::Http1).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut again = async || {
        let request = Request::get("/").header("host", "a.example").body(Full::<Bytes>::default()).unwrap();
        Answer::read(soon(sender.send_request(request)).await.unwrap()).await
    };
    assert_eq!(again().await.status, 200);
    gateway.apply(svid_listener(&backend, ClientAuth::Mesh(clients(MeshMode::Permissive)))).await;
    assert_eq!(again().await.status, 200, "it would still be let in");
    let narrow = MeshClients { peers: vec![PeerMatch::Id(REPORTS.into())], ..clients(MeshMode::Permissive) };
    gateway.apply(svid_listener(&backend, ClientAuth::Mesh(narrow))).await;
    let answer = again().await;
    assert_eq!((answer.status, answer.header("connection")), (421, "close"));
    gateway.apply(svid_listener(&backend, ClientAuth::None)).await;
    assert_eq!(ask(anonymous(&world, gateway.address).await, &[]).await.unwrap().status, 200);
    assert_eq!(world.started(), 1, "one identity has lived through it all");
}

#[tokio::test]
async fn a_mode_that_becomes_strict_holds_for_old_connections() {
    let (_world, settings) = World::new();
    let backend = Server::named("hello").await;
    let mut gateway = Gateway::start_with(taking(MeshMode::Permissive, Plan::to(&backend)), settings).await;
    let mut stream = gateway.connect().await;
    let get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    stream.write_all(get.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    gateway.apply(taking(MeshMode::Strict, Plan::to(&backend))).await;
    stream.write_all(get.as_bytes()).await.unwrap();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 421"), "{rest}");
}

/// A listener of bytes.
fn opaque(backend: &Server, mesh: MeshClients) -> Plan {
    let mut plan = with_identity(Plan::new().backend("b", &[backend.address]));
    let listener = plan.0.listeners.get_mut("l").unwrap();
    listener.connection.mesh = Some(mesh);
    listener.protocol = Protocol::Tcp(Some(L4Rule {
        origin: Origin::new("TCPRoute", "ns", "r"),
        backends: vec![weighted("b", 1)],
        idle_timeout: LONG,
    }));
    plan
}

#[tokio::test]
async fn opaque_connections_end_when_their_client_is_not_let_in_any_more() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let backend = Server::named("hello").await;
    let permissive = clients(MeshMode::Permissive);
    let mut gateway = Gateway::start_with(opaque(&backend, permissive.clone()), settings).await;
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut plain = gateway.connect().await;
    plain.write_all(get).await.unwrap();
    soon(plain.read_u8()).await.unwrap();
    let cart = world.workload(CART);
    let mut meshed = dial(gateway.address, &cart, MeshWire::Istio, ClientAlpn::None).await.unwrap();
    meshed.write_all(get).await.unwrap();
    soon(meshed.read_u8()).await.unwrap();

    gateway.apply(opaque(&backend, clients(MeshMode::Strict))).await;
    let _ = soon(plain.read_to_end(&mut Vec::new())).await;
    let lines = log.lines(&gateway, 1).await;
    assert_eq!(lines[0]["connection_termination_details"], "mesh_trust_ended");
    meshed.write_all(get).await.unwrap();
    soon(meshed.read_u8()).await.unwrap();
    let others = MeshClients { peers: vec![PeerMatch::Id(REPORTS.into())], ..permissive };
    gateway.apply(opaque(&backend, others)).await;
    let _ = soon(meshed.read_to_end(&mut Vec::new())).await;
    let lines = log.lines(&gateway, 2).await;
    assert_eq!(
        (&lines[1]["connection_termination_details"], &lines[1]["peer_spiffe_id"]),
        (&"mesh_trust_ended".into(), &CART.into())
    );
}

#[tokio::test]
async fn opaque_bytes_of_mesh_peers_are_carried_and_named() {
    let (world, settings) = World::new();
    let log = Log::new();
    let settings = Settings { access_log: log.target(), ..settings };
    let backend = Server::named("hello").await;
    let plan = opaque(&backend, clients(MeshMode::Strict));
    let gateway = Gateway::start_with(plan, settings).await;
    let mut stream =
        dial(gateway.address, &world.workload(CART), MeshWire::Istio, ClientAlpn::None).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    drop(stream);
    assert_eq!(gateway.raw("GET / HTTP/1.1\r\n\r\n").await, "");
    let lines = log.lines(&gateway, 2).await;
    assert_eq!(
        (&lines[0]["peer_spiffe_id"], &lines[1]["connection_termination_details"]),
        (&CART.into(), &"plaintext".into())
    );
}
