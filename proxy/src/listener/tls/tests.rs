//! Where a ClientHello leads, however it is cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    ClientAuth, HttpServer, KeyPair, L4Rule, Listener, Origin, Protocol, RouteTable, Secret, ServerTls,
    Snapshot, TlsInner, TlsServer, TlsVersion, TrustAnchors,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair as Key, SanType};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::compiled::{BuildContext, Compiled, CompiledProtocol};
use crate::listener::segments::Segments;

struct Ca(CertifiedIssuer<'static, Key>);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap())
    }

    fn leaf(&self, name: &str, sans: Vec<SanType>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = sans;
        let key = Key::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, name: &str) -> KeyPair {
        let names = [name, "b.tcp.example"].map(|name| SanType::DnsName(name.try_into().unwrap()));
        let (chain, key) = self.leaf(name, names.into());
        KeyPair { certificate_chain: chain.into(), private_key: Secret::new(key.into()) }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

fn client(ca: &Ca, alpn: &[&str], certificate: Option<(String, String)>) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots());
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = rustls::pki_types::CertificateDer::pem_slice_iter(chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The bytes of a ClientHello for `name`.
fn hello_bytes(name: &str) -> Vec<u8> {
    let config = client(&Ca::new("any"), &["h2", "http/1.1"], None);
    let mut connection =
        ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake message in records that end at `splits`.
fn fragment(hello: &[u8], splits: &[usize]) -> Vec<u8> {
    let (header, message) = hello.split_at(5);
    let mut bytes = Vec::new();
    let mut begin = 0;
    for end in splits.iter().copied().chain([message.len()]) {
        let part = &message[begin..end];
        bytes.extend(&header[..3]);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
        begin = end;
    }
    bytes
}

fn limits(handshakes: &Handshakes) -> TlsLimits<'_> {
    TlsLimits { timeout: Duration::from_secs(5), handshakes }
}

/// Feeds `parts` one by one; everything must come out of the passthrough unchanged.
async fn passes(parts: &[&[u8]]) -> Option<Hello> {
    let (mut peer, stream) = duplex(64 * 1024);
    let writes = async {
        for part in parts {
            peer.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        peer.shutdown().await.unwrap();
        peer
    };
    let handshakes = Handshakes::default();
    let reads =
        negotiate(Prefixed::new(stream), limits(&handshakes), |hello| TlsChoice::Passthrough(hello.clone()));
    let (_peer, outcome) = tokio::join!(writes, reads);
    let TlsOutcome::Passthrough { mut stream, chosen, .. } = outcome else { return None };
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, parts.concat());
    Some(chosen)
}

fn expected() -> Option<Hello> {
    Some(Hello { server_name: Some("a.example".into()), offers_http2: true, offers_istio: false })
}

#[tokio::test]
async fn hello_is_read_at_every_split_into_segments() {
    let hello = hello_bytes("A.Example");
    for split in 0..=hello.len() {
        let (first, second) = hello.split_at(split);
        assert_eq!(passes(&[first, second]).await, expected(), "split at {split}");
    }
}

#[tokio::test]
async fn hello_is_read_at_every_split_into_records() {
    let hello = hello_bytes("a.example");
    for split in 1..hello.len() - 5 {
        let bytes = fragment(&hello, &[split]);
        let middle = bytes.len() / 2;
        assert_eq!(passes(&[&bytes[..middle], &bytes[middle..]]).await, expected(), "split at {split}");
    }
    let one_by_one: Vec<usize> = (1..hello.len() - 5).collect();
    let bytes = fragment(&hello, &one_by_one);
    assert_eq!(passes(&[&bytes]).await, expected(), "records of one byte");
}

#[tokio::test]
async fn what_is_no_hello_is_refused_with_an_alert() {
    for (bytes, failure, answered) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], TlsFailure::NotTls, true),
        (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", TlsFailure::NotTls, true),
        // An alert is not answered by one (RFC 8446 §6).
        (b"\x15\x03\x01\x00\x02\x02\x28", TlsFailure::NotTls, false),
        (b"\x16\x03\x01", TlsFailure::Broken, false),
        (b"", TlsFailure::Broken, false),
    ] {
        let (mut peer, stream) = duplex(1024);
        peer.write_all(bytes).await.unwrap();
        peer.shutdown().await.unwrap();
        let handshakes = Handshakes::default();
        let outcome =
            negotiate(Prefixed::new(stream), limits(&handshakes), |_| TlsChoice::Passthrough(())).await;
        let TlsOutcome::Refused(refusal) = outcome else { panic!("{bytes:?} passed") };
        assert_eq!(refusal.failure, failure, "{bytes:?}");
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert_eq!(!answer.is_empty(), answered, "{bytes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn endless_hello_is_refused() {
    // A handshake message that claims 16 MiB, in records of one byte.
    let (mut peer, stream) = duplex(4096);
    let flood = async {
        let _ = peer.write_all(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff").await;
        while peer.write_all(b"\x16\x03\x01\x00\x01\x00").await.is_ok() {}
    };
    let handshakes = Handshakes::default();
    let read =
        async { negotiate(Prefixed::new(stream), limits(&handshakes), |_| TlsChoice::Passthrough(())).await };
    let ((), outcome) = tokio::join!(flood, read);
    assert!(matches!(outcome, TlsOutcome::Refused(refusal) if refusal.failure == TlsFailure::NotTls));
}

#[tokio::test(start_paused = true)]
async fn slow_hello_and_slow_handshake_are_cut() {
    let ca = Ca::new("ca");
    let config = terminate_config(&ca, ClientAuth::None);
    let hello = hello_bytes("a.example");
    for sent in [10, hello.len()] {
        let (mut peer, stream) = duplex(64 * 1024);
        peer.write_all(&hello[..sent]).await.unwrap();
        let handshakes = Handshakes::default();
        let begin = Instant::now();
        let outcome = negotiate(Prefixed::new(stream), limits(&handshakes), |_| TlsChoice::Terminate {
            config: config.clone(),
            chosen: (),
        })
        .await;
        assert!(matches!(outcome, TlsOutcome::Refused(refusal) if refusal.failure == TlsFailure::Timeout));
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
}

fn terminate_config(ca: &Ca, client_auth: ClientAuth) -> ServerTlsConfig {
    let tls = ServerTls { svid: None, certificates: Vec::new(), min_version: TlsVersion::V1_2, client_auth };
    identity::server_config(&tls, &[&ca.server("a.example")], identity::ServerAlpn::Http).unwrap()
}

async fn connect(
    config: Arc<ClientConfig>,
    name: &str,
    stream: DuplexStream,
) -> io::Result<tokio_rustls::client::TlsStream<DuplexStream>> {
    TlsConnector::from(config).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

async fn terminated(
    config: &ServerTlsConfig,
    client: Arc<ClientConfig>,
    segment: usize,
) -> Result<TlsFacts, TlsRefusal> {
    let (peer, stream) = duplex(64 * 1024);
    let stream = Segments { stream, segment };
    let handshakes = Handshakes::default();
    let server = async {
        let outcome = negotiate(Prefixed::new(stream), limits(&handshakes), |_| TlsChoice::Terminate {
            config: config.clone(),
            chosen: (),
        })
        .await;
        match outcome {
            TlsOutcome::Terminated { mut stream, facts, .. } => {
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
                Ok(facts)
            }
            TlsOutcome::Refused(refusal) => Err(refusal),
            TlsOutcome::Passthrough { .. } => panic!("passed through"),
        }
    };
    let echo = async {
        // With TLS 1.3 a client learns only later that its certificate was refused.
        let Ok(mut stream) = connect(client, "a.example", peer).await else { return };
        let mut bytes = [0; 4];
        if stream.write_all(b"ping").await.is_ok() && stream.read_exact(&mut bytes).await.is_ok() {
            assert_eq!(&bytes, b"ping");
        }
    };
    tokio::join!(server, echo).0
}

#[tokio::test]
async fn terminates_with_alpn_whatever_the_segments() {
    let ca = Ca::new("ca");
    let config = terminate_config(&ca, ClientAuth::None);
    for segment in [1, 7, 64 * 1024] {
        let facts = terminated(&config, client(&ca, &["h2", "http/1.1"], None), segment).await.unwrap();
        assert_eq!(facts.server_name.as_deref(), Some("a.example"));
        assert_eq!((facts.http2, facts.version, facts.peer), (true, "TLSv1.3", None));
    }
    let facts = terminated(&config, client(&ca, &["http/1.1"], None), 4096).await.unwrap();
    assert!(!facts.http2);
}

#[tokio::test]
async fn client_certificate_is_demanded_or_told_apart() {
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let spiffe = "spiffe://cluster.local/ns/shop/sa/cart";
    let sans =
        || vec![SanType::URI(spiffe.try_into().unwrap()), SanType::DnsName("cart.shop".try_into().unwrap())];
    let good = || Some(ca.leaf("cart", sans()));
    let bad = || Some(stranger.leaf("cart", sans()));
    let anchors = TrustAnchors(ca.0.pem().into());
    let required = terminate_config(&ca, ClientAuth::Require(anchors.clone()));
    let fallback = terminate_config(&ca, ClientAuth::InsecureFallback(anchors));

    let refused = |result: Result<TlsFacts, TlsRefusal>| result.unwrap_err().failure;
    assert_eq!(
        refused(terminated(&required, client(&ca, &[], None), 4096).await),
        TlsFailure::ClientCertificate
    );
    assert_eq!(
        refused(terminated(&required, client(&ca, &[], bad()), 4096).await),
        TlsFailure::ClientCertificate
    );
    let peer = terminated(&required, client(&ca, &[], good()), 4096).await.unwrap().peer.unwrap();
    assert_eq!(peer.spiffe_id(), Some(spiffe));
    assert_eq!(
        (peer.uris.as_slice(), peer.dns_names.as_slice()),
        (&[spiffe.to_owned()][..], &["cart.shop".to_owned()][..])
    );
    assert_eq!((peer.verified, peer.subject.as_str(), peer.sha256.len()), (true, "CN=cart", 64));

    assert_eq!(terminated(&fallback, client(&ca, &[], None), 4096).await.unwrap().peer, None);
    let peer = terminated(&fallback, client(&ca, &[], bad()), 4096).await.unwrap().peer.unwrap();
    assert_eq!((peer.verified, peer.spiffe_id()), (false, None));
    let peer = terminated(&fallback, client(&ca, &[], good()), 4096).await.unwrap().peer.unwrap();
    assert_eq!(peer.spiffe_id(), Some(spiffe));
}

fn l4(name: &str) -> L4Rule {
    L4Rule {
        origin: Origin::new("TLSRoute", "shop", name),
        backends: Vec::new(),
        idle_timeout: Duration::from_secs(60),
    }
}

fn mixed(ca: &Ca) -> Compiled {
    let server = HttpServer {
        owner: Origin::new("Gateway", "shop", "gw"),
        section: "https".into(),
        port: 443,
        routes: "shop/gw/https".into(),
        filters: Vec::new(),
    };
    let tls = || ServerTls {
        svid: None,
        certificates: vec!["shop/cert".into()],
        min_version: TlsVersion::V1_2,
        client_auth: ClientAuth::None,
    };
    let servers = [
        ("a.example", TlsServer::Terminate { tls: tls(), inner: TlsInner::Http(server) }),
        (
            "*.tcp.example",
            TlsServer::Terminate {
                tls: tls(),
                inner: TlsInner::Tcp(BTreeMap::from([("b.tcp.example".parse().unwrap(), l4("inner"))])),
            },
        ),
        (
            "*.example",
            TlsServer::Passthrough(BTreeMap::from([("*.pass.example".parse().unwrap(), l4("pass"))])),
        ),
        ("closed.example", TlsServer::Closed { reason: "Secret shop/gone does not exist".into() }),
    ];
    let protocol =
        Protocol::Tls(servers.map(|(host, server)| (host.parse().unwrap(), server)).into_iter().collect());
    let listener = Listener {
        gateway: Origin::new("Gateway", "shop", "gw"),
        addresses: Vec::new(),
        port: 443,
        protocol,
        connection: Default::default(),
    };
    let snapshot = Snapshot {
        listeners: BTreeMap::from([("shop/gw/443".into(), listener)]),
        routes: BTreeMap::from([("shop/gw/https".into(), Arc::new(RouteTable::default()))]),
        secrets: BTreeMap::from([("shop/cert".into(), Arc::new(ca.server("a.example")))]),
        ..Snapshot::default()
    };
    Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap()
}

#[tokio::test]
async fn server_name_decides_between_terminate_passthrough_and_closed_on_one_port() {
    let ca = Ca::new("ca");
    let compiled = mixed(&ca);
    let listener = compiled.listeners.values().next().unwrap();
    let CompiledProtocol::Tls(servers) = &listener.protocol else { panic!("no TLS") };
    for (name, expected) in [
        ("x.pass.example", "pass shop/pass"),
        ("y.x.pass.example", "pass shop/pass"),
        ("nobody.example", "refused UnknownName 112"),
        ("elsewhere.test", "refused UnknownName 112"),
        ("c.tcp.example", "refused UnknownName 112"),
        ("closed.example", "refused Closed 80"),
    ] {
        let (mut peer, stream) = duplex(64 * 1024);
        peer.write_all(&hello_bytes(name)).await.unwrap();
        let handshakes = Handshakes::default();
        let outcome = accept(Prefixed::new(stream), servers, limits(&handshakes)).await;
        let found = match outcome {
            TlsOutcome::Passthrough { chosen: TlsTarget::Tcp(rule, _), .. } => format!("pass {}", rule.label),
            TlsOutcome::Refused(refusal) => {
                assert_eq!(refusal.server_name.as_deref(), Some(name));
                let mut alert = Vec::new();
                peer.read_to_end(&mut alert).await.unwrap();
                format!("refused {:?} {}", refusal.failure, alert[6])
            }
            _ => "something else".to_owned(),
        };
        assert_eq!(found, expected, "{name}");
    }
    for (name, expected) in [("a.example", "http https"), ("b.tcp.example", "tcp shop/inner")] {
        let (peer, stream) = duplex(64 * 1024);
        let handshakes = Handshakes::default();
        let server = accept(Prefixed::new(stream), servers, limits(&handshakes));
        let (outcome, _client) = tokio::join!(server, connect(client(&ca, &[], None), name, peer));
        let found = match outcome {
            TlsOutcome::Terminated { chosen: TlsTarget::Http(server, _), .. } => {
                format!("http {}", server.section)
            }
            TlsOutcome::Terminated { chosen: TlsTarget::Tcp(rule, _), .. } => format!("tcp {}", rule.label),
            TlsOutcome::Refused(refusal) => refusal.detail.to_string(),
            TlsOutcome::Passthrough { .. } => "passed".to_owned(),
        };
        assert_eq!(found, expected, "{name}");
    }
}
