//! TLS at the edge: the SNI chooses, the host must agree, client certificates are asked for and told. And the
//! PROXY protocol in front of everything.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as Key, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::*;

struct Ca(CertifiedIssuer<'static, Key>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap())
    }

    fn anchors(&self) -> TrustAnchors {
        TrustAnchors(self.0.pem().into())
    }

    fn leaf(&self, names: &[&str], uri: Option<&str>) -> KeyPair {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        let key = Key::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        KeyPair {
            certificate_chain: certificate.pem().into(),
            private_key: Secret::new(key.serialize_pem().into()),
        }
    }

    /// A client's configuration that trusts this CA and offers these protocols.
    fn client(&self, certificate: Option<&KeyPair>, alpn: &[&str]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate_chain.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.private_key.expose().as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A TLS listener: servers by host pattern, each with its own route table to one backend.
fn plan(ca: &Ca, servers: &[(&str, &Server, ClientAuth)]) -> Plan {
    let mut plan = Plan::new();
    let mut by_pattern = std::collections::BTreeMap::new();
    for (pattern, backend, client_auth) in servers {
        let name = pattern.replace('*', "any");
        plan = plan.backend(&name, &[backend.address]);
        let pair = ca.leaf(&["*.example", "a.example", "b.example", "x.wild.example"], None);
        plan.0.secrets.insert(format!("ns/{name}").into(), Arc::new(pair));
        let rule = Rule {
            origin: Origin::new("HTTPRoute", "ns", "r"),
            index: 0,
            name: None,
            filters: vec![],
            action: forward(&name),
            set_by: Default::default(),
        };
        let hosts = [(HostPattern::Any, vec![RouteMatch { when: Match::default(), rule: 0 }])].into();
        plan.0.routes.insert(name.as_str().into(), Arc::new(RouteTable { hosts, rules: vec![rule] }));
        let server = TlsServer::Terminate {
            tls: ServerTls {
                svid: None,
                certificates: vec![format!("ns/{name}").into()],
                min_version: TlsVersion::V1_2,
                client_auth: client_auth.clone(),
            },
            inner: TlsInner::Http(HttpServer {
                owner: Origin::new("Gateway", "ns", "gw"),
                section: name.as_str().into(),
                port: 443,
                routes: name.as_str().into(),
                filters: vec![],
            }),
        };
        by_pattern.insert(pattern.parse().unwrap(), server);
    }
    plan.0.listeners.get_mut("l").unwrap().protocol = Protocol::Tls(by_pattern);
    plan
}

async fn connect(
    address: SocketAddr,
    client: &TlsConnector,
    sni: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    client.connect(ServerName::try_from(sni.to_owned()).unwrap(), stream).await
}

async fn ask1(stream: TlsStream<TcpStream>, host: &str) -> Result<Answer, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/").header("host", host).body(Full::<Bytes>::default()).unwrap();
    Ok(Answer::read(soon(sender.send_request(request)).await?).await)
}

async fn ask2(stream: TlsStream<TcpStream>, host: &str) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://{host}/")).body(Full::<Bytes>::default()).unwrap();
    Answer::read(soon(sender.send_request(request)).await.unwrap()).await
}

#[tokio::test]
async fn the_sni_chooses_and_the_host_must_agree() {
    let ca = Ca::new();
    let (a, b, wild) = (Server::named("a").await, Server::named("b").await, Server::named("wild").await);
    let none = ClientAuth::None;
    let plan = plan(
        &ca,
        &[("a.example", &a, none.clone()), ("b.example", &b, none.clone()), ("*.wild.example", &wild, none)],
    );
    let gateway = Gateway::start(plan).await;
    let h1 = ca.client(None, &["http/1.1"]);
    let h2 = ca.client(None, &["h2"]);
    for (sni, host, status, text) in [
        ("a.example", "a.example", 200, "a"),
        ("b.example", "b.example", 200, "b"),
        ("a.example", "b.example", 421, "the host is not served on this connection"),
        ("a.example", "x.wild.example", 421, "the host is not served on this connection"),
        ("x.wild.example", "y.wild.example", 200, "wild"),
        // Nobody's host is not misdirected; here every route of the connection's own server takes it.
        ("a.example", "nobody.test", 200, "a"),
    ] {
        let one = ask1(connect(gateway.address, &h1, sni).await.unwrap(), host).await.unwrap();
        assert_eq!((one.status, one.text()), (status, text), "{sni} {host} over HTTP/1.1");
        let two = ask2(connect(gateway.address, &h2, sni).await.unwrap(), host).await;
        assert_eq!((two.status, two.text()), (status, text), "{sni} {host} over HTTP/2");
    }
    assert_eq!(a.last().header("x-forwarded-proto"), "https");
    assert_eq!(a.last().header("x-forwarded-port"), "443");
    assert!(connect(gateway.address, &h1, "other.example").await.is_err(), "no listener for the SNI");
}

#[tokio::test]
async fn whoever_agreed_on_http2_is_not_served_http1() {
    let ca = Ca::new();
    let backend = Server::named("a").await;
    let gateway = Gateway::start(plan(&ca, &[("a.example", &backend, ClientAuth::None)])).await;
    let mut stream = connect(gateway.address, &ca.client(None, &["h2"]), "a.example").await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    // RFC 9113 §4.1: the type is the fourth byte of a frame; SETTINGS is 4.
    assert!(answer.is_empty() || answer.get(3) == Some(&4), "{answer:?}");
    assert!(backend.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_told() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let (strict, lax) = (Server::named("strict").await, Server::named("lax").await);
    let plan = plan(
        &ca,
        &[
            ("a.example", &strict, ClientAuth::Require(clients.anchors())),
            ("b.example", &lax, ClientAuth::InsecureFallback(clients.anchors())),
        ],
    )
    .connection(|policy| policy.forwarded.client_cert = ClientCertHeader::SanitizeSet);
    let gateway = Gateway::start(plan).await;
    let good = clients.leaf(&["client.example"], Some("spiffe://td/ns/x/sa/y"));
    let bad = Ca::new().leaf(&["client.example"], Some("spiffe://td/ns/x/sa/root"));
    let ask = async |certificate: Option<&KeyPair>, name: &str| {
        let stream = connect(gateway.address, &ca.client(certificate, &["http/1.1"]), name).await?;
        ask1(stream, name).await.map_err(std::io::Error::other)
    };
    assert_eq!(ask(Some(&good), "a.example").await.unwrap().text(), "strict");
    let told = strict.last().header("x-forwarded-client-cert").to_owned();
    assert!(told.contains(";URI=spiffe://td/ns/x/sa/y;DNS=client.example"), "{told}");
    assert!(ask(None, "a.example").await.is_err());
    assert!(ask(Some(&bad), "a.example").await.is_err());
    assert_eq!(ask(None, "b.example").await.unwrap().text(), "lax");
    assert_eq!(ask(Some(&bad), "b.example").await.unwrap().text(), "lax");
    assert!(!lax.last().headers.contains_key("x-forwarded-client-cert"), "nothing unverified is told");
}

#[tokio::test]
async fn a_new_demand_for_certificates_holds_for_old_connections() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let backend = Server::named("a").await;
    let mut gateway = Gateway::start(plan(&ca, &[("a.example", &backend, ClientAuth::None)])).await;
    let stream = connect(gateway.address, &ca.client(None, &["http/1.1"]), "a.example").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async || {
        let request = Request::get("/").header("host", "a.example").body(Full::<Bytes>::default()).unwrap();
        Answer::read(soon(sender.send_request(request)).await.unwrap()).await
    };
    assert_eq!(ask().await.status, 200);
    gateway.apply(plan(&ca, &[("a.example", &backend, ClientAuth::Require(clients.anchors()))])).await;
    let answer = ask().await;
    assert_eq!((answer.status, answer.header("connection")), (421, "close"));
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client() {
    let backend = Server::named("hello").await;
    let plan = Plan::to(&backend).connection(|policy| {
        policy.proxy_protocol = ProxyProtocol {
            mode: ProxyProtocolMode::Required,
            trusted: vec!["127.0.0.0/8".parse().unwrap()],
        };
    });
    let gateway = Gateway::start(plan).await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = gateway.raw(format!("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n{get}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(backend.last().header("x-forwarded-for"), "203.0.113.7");
    assert_eq!(gateway.raw(get).await, "", "a header is demanded");
}

#[tokio::test]
async fn a_proxy_header_of_a_stranger_is_no_header() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let answer =
        gateway.raw("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn opaque_bytes_go_to_a_tcp_rule() {
    let backend = Server::named("hello").await;
    let mut plan = Plan::new().backend("b", &[backend.address]);
    plan.0.listeners.get_mut("l").unwrap().protocol = Protocol::Tcp(Some(L4Rule {
        origin: Origin::new("TCPRoute", "ns", "r"),
        backends: vec![weighted("b", 1)],
        idle_timeout: LONG,
    }));
    let gateway = Gateway::start(plan).await;
    let answer = gateway.raw("GET /raw HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(backend.last().header("x-forwarded-for"), "");
}

#[tokio::test]
async fn tls_on_a_plain_port_is_a_bad_request() {
    let backend = Server::named("hello").await;
    let gateway = Gateway::start(Plan::to(&backend)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(b"\x16\x03\x01\x00\x05hello").await.unwrap();
    drop(stream);
    assert!(gateway.raw(b"\x16\x03\x01\x00\x05hello\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}
