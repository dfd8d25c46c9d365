//! Live connections as time and trust go on: rotation loses nothing, lost trust cuts, ended certificates drain.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use identity::testing::time;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;

/// Mesh peers in front, a meshed endpoint behind.
fn both_sides(backend: &Workload) -> Plan {
    let plan = Plan::new().backend("b", &[backend.address]).rule(forward("b"));
    taking(MeshMode::Strict, meshed(plan, "b", MeshWire::Istio, &[CART]))
}

/// One that asks over and over, on connections that are kept for as long as they hold.
struct Asker {
    address: SocketAddr,
    identity: Identity,
    alpn: ClientAlpn,
    answers: Arc<AtomicU64>,
    stop: watch::Receiver<bool>,
}

impl Asker {
    /// Returns how many connections it took.
    async fn run(self) -> u64 {
        let mut connections = 0;
        while !*self.stop.borrow() {
            let stream = dial(self.address, &self.identity, MeshWire::Istio, self.alpn).await.unwrap();
            connections += 1;
            match self.alpn {
                ClientAlpn::Http2 => self.ask2(TokioIo::new(stream)).await,
                _ => self.ask1(TokioIo::new(stream)).await,
            }
        }
        connections
    }

    async fn ask1(&self, io: TokioIo<TlsStream<TcpStream>>) {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        while !*self.stop.borrow() && sender.ready().await.is_ok() {
            let request = Request::get("/").header("host", "a.example").body(Full::<Bytes>::default());
            let answer = sender.send_request(request.unwrap()).await.expect("no request is lost");
            let answer = Answer::read(answer).await;
            assert_eq!(answer.status, 200);
            self.answers.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") == "close" {
                return;
            }
        }
    }

    async fn ask2(&self, io: TokioIo<TlsStream<TcpStream>>) {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        while !*self.stop.borrow() && sender.ready().await.is_ok() {
            let request = Request::get("https://a.example/").body(Full::<Bytes>::default());
            match sender.try_send_request(request.unwrap()).await {
                Ok(response) => assert_eq!(Answer::read(response).await.status, 200),
                Err(mut error) => {
                    // It was not sent: the connection has said goodbye.
                    assert!(error.take_message().is_some(), "a request was lost: {:?}", error.error());
                    return;
                }
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn rotation_under_traffic_loses_nothing() {
    let (world, settings) = World::new();
    let backend = Workload::start(&world.workload(CART)).await;
    let gateway = Gateway::start_with(both_sides(&backend), settings).await;
    let (stop, stopped) = watch::channel(false);
    let answers: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
    let alpn = [ClientAlpn::Http1, ClientAlpn::Http1, ClientAlpn::Http2];
    let askers: Vec<_> = alpn
        .into_iter()
        .zip(&answers)
        .map(|(alpn, answers)| {
            let (address, identity) = (gateway.address, world.workload(CART));
            let (answers, stop) = (answers.clone(), stopped.clone());
            tokio::spawn(Asker { address, identity, alpn, answers, stop }.run())
        })
        .collect();
    // Leaves of four seconds, renewed every two. The clock waits for answers, so that it does not matter how fast they
    // come: between a step and the next each has asked and been answered.
    let mut now = world.start;
    for _ in 0..20 {
        let ends = time(now + Duration::from_secs(4));
        let svid = world.ca.issue_with(OWN, |params| params.not_after = ends).svid(PeerProfile::SpiffeStrict);
        world.publish(svid, world.ca.bundles());
        for _ in 0..8 {
            now += Duration::from_millis(250);
            world.hand.set(now);
            for answers in &answers {
                let enough = answers.load(Ordering::Relaxed) + 3;
                while answers.load(Ordering::Relaxed) < enough {
                    assert!(!askers.iter().any(tokio::task::JoinHandle::is_finished), "nobody gives up");
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    stop.send_replace(true);
    for asker in askers {
        let connections = soon(asker).await.unwrap();
        assert!(connections >= 10, "{connections}: connections were renewed");
    }
    assert!(backend.accepted() >= 10, "{}: upstream connections too", backend.accepted());
    let text = gateway.proxy.as_ref().unwrap().metrics().encode();
    assert!(!text.contains("how=\"cut\""), "{text}");
}

/// A connection of a peer that has had an answer.
async fn opened(gateway: &Gateway, identity: &Identity) -> TlsStream<TcpStream> {
    let mut stream = dial(gateway.address, identity, MeshWire::Istio, ClientAlpn::Http1).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"meshed") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    stream
}

/// Whether the proxy ends the connection.
async fn ends(stream: &mut TlsStream<TcpStream>) {
    // A reset is as good as an end.
    let _ = soon(stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn a_bundle_that_goes_cuts_both_sides() {
    let (world, settings) = World::new();
    let partner = TestCa::new("partner.example");
    let svid = world.ca.issue(OWN);
    let all = federated(&[&world.ca, &partner]);
    let id = "spiffe://partner.example/ns/a/sa/b";
    let theirs = stranger(partner.issue(id), all.clone(), Clock::system());
    let backend = Workload::start(&theirs).await;
    let plan = Plan::new().backend("b", &[backend.address]).rule(forward("b"));
    let mut plan = taking(MeshMode::Strict, meshed(plan, "b", MeshWire::Istio, &[id]));
    let listener = plan.0.listeners.get_mut("l").unwrap();
    listener.connection.mesh.as_mut().unwrap().peers.push(PeerMatch::TrustDomain("partner.example".into()));
    let gateway = Gateway::start_with(plan, settings).await;
    world.publish(svid.clone(), all);
    let mut cart = opened(&gateway, &world.workload(CART)).await;
    let mut theirs = opened(&gateway, &theirs).await;
    assert_eq!(metric(&gateway, "diolkos_mesh_connections_active{identity=\"mesh\"}"), 3);
    world.publish(svid, world.ca.bundles());
    ends(&mut theirs).await;
    soon(async {
        while metric(&gateway, "diolkos_mesh_connections_active{identity=\"mesh\"}") > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for side in ["downstream", "upstream"] {
        let name = format!(
            "diolkos_mesh_connections_ended_total{{identity=\"mesh\",side=\"{side}\",how=\"cut\",reason=\"no_bundle\"}}"
        );
        assert_eq!(metric(&gateway, &name), 1, "{side}");
    }
    // The peer of our own trust domain goes on; the endpoint is not believed any more.
    cart.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(cart.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn a_peers_certificate_that_ends_drains_its_connection() {
    let (world, settings) = World::new();
    let backend = Workload::start(&world.workload(CART)).await;
    let gateway = Gateway::start_with(both_sides(&backend), settings).await;
    let ends_at = time(world.start + Duration::from_secs(60));
    let short =
        world.ca.issue_with(CART, |params| params.not_after = ends_at).svid(PeerProfile::SpiffeStrict);
    let peer = stranger(short, world.ca.bundles(), Clock::system());
    let mut asked = opened(&gateway, &peer).await;
    let mut idle = opened(&gateway, &peer).await;
    world.hand.advance(Duration::from_secs(55));
    // The request that comes now is the last one.
    soon(async {
        loop {
            asked.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"meshed") {
                answer.push(asked.read_u8().await.unwrap());
            }
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            if answer.contains("connection: close") {
                break;
            }
        }
    })
    .await;
    ends(&mut asked).await;
    world.hand.advance(Duration::from_secs(5));
    ends(&mut idle).await;
}

#[tokio::test]
async fn an_identity_that_ends_without_renewal_cuts_and_closes() {
    let (world, settings) = World::new();
    let backend = Workload::start(&world.workload(CART)).await;
    let gateway = Gateway::start_with(both_sides(&backend), settings).await;
    let ends_at = time(world.start + Duration::from_secs(60));
    let short = world.ca.issue_with(OWN, |params| params.not_after = ends_at).svid(PeerProfile::SpiffeStrict);
    world.publish(short, world.ca.bundles());
    let cart = world.workload(CART);
    let mut stream = opened(&gateway, &cart).await;
    world.hand.advance(Duration::from_secs(60));
    ends(&mut stream).await;
    let accepted = backend.accepted();
    assert!(ask(dial(gateway.address, &cart, MeshWire::Istio, ClientAlpn::Http1).await, &[]).await.is_err());
    assert_eq!(backend.accepted(), accepted);
    world.publish(world.ca.issue(OWN), world.ca.bundles());
    let answer = ask(dial(gateway.address, &cart, MeshWire::Istio, ClientAlpn::Http1).await, &[]).await;
    assert_eq!(answer.unwrap().status, 200);
}

/// An issuer in the same process.
#[derive(Debug)]
struct Issuer {
    ca: TestCa,
    bundles: watch::Sender<TrustBundles>,
}

impl identity::Issue for Issuer {
    fn issue<'a>(
        &'a self,
        id: &'a identity::SpiffeId,
        csr_der: &'a [u8],
        _: Duration,
    ) -> futures_util::future::BoxFuture<'a, Result<Vec<CertificateDer<'static>>, identity::IssueError>> {
        let chain = self.ca.sign(csr_der, &id.to_string(), |_| {});
        Box::pin(async { chain.map_err(|error| identity::IssueError::Refused(error.to_string())) })
    }

    fn bundles(&self) -> watch::Receiver<TrustBundles> {
        self.bundles.subscribe()
    }
}

#[tokio::test]
async fn an_issuer_in_the_process_makes_a_member_of_the_mesh() {
    let ca = TestCa::new("cluster.local");
    let (backend, cart) = (Workload::start(&ca.identity(CART)).await, ca.identity(CART));
    let bundles = watch::Sender::new(ca.bundles());
    let issuer: Arc<dyn identity::Issue> = Arc::new(Issuer { ca, bundles });
    let settings = Settings { issuer: Some(issuer), ..Settings::default() };
    let gateway = Gateway::start_with(both_sides(&backend), settings).await;
    soon(async {
        while metric(&gateway, "diolkos_identity_ready{identity=\"mesh\"}") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer =
        ask(dial(gateway.address, &cart, MeshWire::Istio, ClientAlpn::Http1).await, &[]).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "meshed"));
}
