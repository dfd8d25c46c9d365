//! TLS to endpoints: ALPN, upgrades, who is trusted, our own certificate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use identity::{PeerVerdict, ServerAlpn, server_config};
use model::{
    Address, BackendProtocol, ClientAuth, ClientTls, KeyPair, Roots, Secret, SecretName, ServerTls,
    SubjectName, TlsVersion, TrustAnchors, UpstreamTls,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, SanType, date_time_ymd};
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::support::*;
use crate::upstream::*;

struct Ca(CertifiedIssuer<'static, rcgen::KeyPair>);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    fn anchors(&self) -> TrustAnchors {
        TrustAnchors(self.0.pem().into())
    }

    fn issue(&self, change: impl Fn(&mut CertificateParams)) -> KeyPair {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap()));
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        KeyPair {
            certificate_chain: params.signed_by(&key, &self.0).unwrap().pem().into(),
            private_key: Secret::new(key.serialize_pem().into()),
        }
    }
}

/// A TLS server that speaks what ALPN settles on.
struct Server {
    address: SocketAddr,
    connections: Rc<Cell<usize>>,
    verdicts: Rc<RefCell<Vec<PeerVerdict>>>,
}

impl Server {
    async fn start(pair: &KeyPair, client_auth: ClientAuth) -> Self {
        let settings = ServerTls {
            svid: None,
            certificates: vec!["a/b".into()],
            min_version: TlsVersion::V1_2,
            client_auth,
        };
        let tls = server_config(&settings, &[pair], ServerAlpn::Http).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Rc::default(),
            verdicts: Rc::default(),
        };
        let (connections, verdicts) = (Rc::clone(&server.connections), Rc::clone(&server.verdicts));
        spawn_local(async move {
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.set(connections.get() + 1);
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let session = stream.get_ref().1;
                verdicts.borrow_mut().push(tls.verdict(session.peer_certificates()));
                let http2 = session.alpn_protocol() == Some(b"h2");
                let service =
                    service_fn(
                        |request: Request<Incoming>| async move { Ok::<_, Infallible>(answer(&request)) },
                    );
                let io = TokioIo::new(stream);
                if http2 {
                    let builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
                    spawn_local(async move { builder.serve_connection(io, service).await.map_err(drop) });
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let connection = builder.serve_connection(io, service).with_upgrades();
                    spawn_local(async move { connection.await.map_err(drop) });
                }
            }
        });
        server
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(request.uri().to_string())));
    if request.headers().contains_key("upgrade") {
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        *response.body_mut() = Full::default();
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "echo".parse().unwrap());
    }
    response
}

/// A backend at `address` with TLS, changed by `change`.
fn backend_tls(
    address: SocketAddr,
    anchors: TrustAnchors,
    secrets: &BTreeMap<SecretName, Arc<KeyPair>>,
    change: impl Fn(&mut ClientTls),
) -> Arc<BackendHandle> {
    let endpoints = vec![endpoint(Address::Ip(address.ip()), address.port())];
    backend_with(endpoints, secrets, |spec| {
        let mut tls = ClientTls {
            server_name: "a.example".into(),
            roots: Roots::Pem(anchors.clone()),
            names: Vec::new(),
            certificate: None,
        };
        change(&mut tls);
        spec.tls = UpstreamTls::Tls(tls);
    })
}

#[test]
fn alpn_settles_on_http2_and_connections_are_shared() {
    on_a_core(async {
        let ca = Ca::new("ca");
        let server = Server::start(&ca.issue(|_| {}), ClientAuth::None).await;
        let client = client();
        let backend = backend_tls(server.address, ca.anchors(), &BTreeMap::new(), |_| {});
        for _ in 0..3 {
            let exchanged = exchange(&client, &backend, get("/p")).await.unwrap();
            assert!(exchanged.attempt.http2);
            assert_eq!(exchanged.response.body(), "https://a.example/p");
        }
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn an_upgrade_takes_an_http11_connection_of_its_own() {
    on_a_core(async {
        let ca = Ca::new("ca");
        let server = Server::start(&ca.issue(|_| {}), ClientAuth::None).await;
        let client = client();
        let backend = backend_tls(server.address, ca.anchors(), &BTreeMap::new(), |_| {});
        exchange(&client, &backend, get("/")).await.unwrap();
        let mut request = get("/");
        request.headers_mut().insert("connection", "upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "echo".parse().unwrap());
        let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
        let response = client.dispatch(&backend, &mut picked, request).await.unwrap();
        assert_eq!(response.status(), 101);
        assert!(!picked.attempt().http2);
        assert!(exchange(&client, &backend, get("/")).await.unwrap().attempt.reused);
        assert_eq!(server.connections.get(), 2);
    });
}

#[test]
fn http11_alone_is_offered_if_the_backend_says_so() {
    on_a_core(async {
        let ca = Ca::new("ca");
        let server = Server::start(&ca.issue(|_| {}), ClientAuth::None).await;
        let client = client();
        let tls = ClientTls {
            server_name: "a.example".into(),
            roots: Roots::Pem(ca.anchors()),
            names: Vec::new(),
            certificate: None,
        };
        let backend = backend(server.address, |spec| {
            spec.protocol = BackendProtocol::Http1;
            spec.tls = UpstreamTls::Tls(tls.clone());
        });
        assert!(!exchange(&client, &backend, get("/")).await.unwrap().attempt.http2);
        assert!(exchange(&client, &backend, get("/")).await.unwrap().attempt.reused);
    });
}

#[test]
fn the_wrong_peer_gets_no_request() {
    on_a_core(async {
        let (ca, other) = (Ca::new("ca"), Ca::new("other"));
        let server = Server::start(&ca.issue(|_| {}), ClientAuth::None).await;
        let client = client();
        let refused = async |backend: Arc<BackendHandle>| {
            let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
            let failed = client.dispatch(&backend, &mut picked, get("/")).await.unwrap_err();
            assert_eq!(failed.error.kind, UpstreamErrorKind::TlsFailed);
            assert!(!failed.error.sent && failed.request.is_some());
            failed.error.detail.unwrap()
        };
        let none = BTreeMap::new();
        let wrong_ca = backend_tls(server.address, other.anchors(), &none, |_| {});
        assert!(refused(wrong_ca).await.contains("UnknownIssuer"));
        let wrong_name =
            backend_tls(server.address, ca.anchors(), &none, |tls| tls.server_name = "b.example".into());
        assert!(refused(wrong_name).await.contains("b.example"));
        let wrong_uri = backend_tls(server.address, ca.anchors(), &none, |tls| {
            tls.names = vec![SubjectName::Uri("spiffe://td/ns/a/sa/c".into())];
        });
        assert!(refused(wrong_uri).await.contains("spiffe://td/ns/a/sa/c"));
        let right_uri = backend_tls(server.address, ca.anchors(), &none, |tls| {
            tls.names = vec![SubjectName::Uri("spiffe://td/ns/a/sa/b".into())];
        });
        assert!(exchange(&client, &right_uri, get("/")).await.is_ok());
        let old =
            Server::start(&ca.issue(|params| params.not_after = date_time_ymd(2021, 1, 1)), ClientAuth::None)
                .await;
        let expired = backend_tls(old.address, ca.anchors(), &none, |_| {});
        assert!(refused(expired).await.contains("expired"));
    });
}

#[test]
fn our_certificate_is_shown() {
    on_a_core(async {
        let ca = Ca::new("ca");
        let server = Server::start(&ca.issue(|_| {}), ClientAuth::InsecureFallback(ca.anchors())).await;
        let secrets = BTreeMap::from([("a/client".into(), Arc::new(ca.issue(|_| {})))]);
        let client = client();
        let with = backend_tls(server.address, ca.anchors(), &secrets, |tls| {
            tls.certificate = Some("a/client".into())
        });
        exchange(&client, &with, get("/")).await.unwrap();
        let without = backend_tls(server.address, ca.anchors(), &secrets, |_| {});
        exchange(&client, &without, get("/")).await.unwrap();
        assert_eq!(*server.verdicts.borrow(), [PeerVerdict::Verified, PeerVerdict::Absent]);
    });
}

#[test]
fn a_new_certificate_is_not_shown_on_old_connections() {
    let ca = Ca::new("ca");
    let spec = |secrets: &BTreeMap<SecretName, Arc<KeyPair>>, previous: Option<&Arc<BackendHandle>>| {
        let address = ([127, 0, 0, 1], 1).into();
        let like =
            backend_tls(address, ca.anchors(), secrets, |tls| tls.certificate = Some("a/client".into()));
        let endpoints = Arc::new(model::EndpointSet::default());
        BackendHandle::build(&like.name, &like.spec, &endpoints, secrets, "", &Default::default(), previous)
            .unwrap()
    };
    let secrets = BTreeMap::from([("a/client".into(), Arc::new(ca.issue(|_| {})))]);
    let first = spec(&secrets, None);
    let same = spec(&secrets, Some(&first));
    assert!(Arc::ptr_eq(&first, &same));
    let renewed = BTreeMap::from([("a/client".into(), Arc::new(ca.issue(|_| {})))]);
    let second = spec(&renewed, Some(&first));
    assert_ne!(first.transport, second.transport);
    assert!(Arc::ptr_eq(first.live(), second.live()));
}

#[test]
fn tls_that_cannot_be_had_is_never_plaintext() {
    on_a_core(async {
        let plain = Raw::always(OK).await;
        let client = client();
        let closed = backend(plain.address, |spec| spec.tls = UpstreamTls::Closed { reason: "no CA".into() });
        let broken = backend_tls(plain.address, TrustAnchors("nothing".into()), &BTreeMap::new(), |_| {});
        for backend in [closed, broken] {
            let error = exchange(&client, &backend, get("/")).await.unwrap_err();
            assert!(matches!(error.kind, UpstreamErrorKind::TlsClosed(_)), "{error:?}");
            let mut picked = client.pick(&backend, &PickHints::default()).unwrap();
            let error = client.connect_raw(&backend, &mut picked).await.unwrap_err();
            assert!(matches!(error.kind, UpstreamErrorKind::TlsClosed(_)), "{error:?}");
        }
        assert!(plain.seen().is_empty());
    });
}

#[test]
fn a_certificate_that_is_not_there_is_an_error() {
    let ca = Ca::new("ca");
    let like = backend_tls(([127, 0, 0, 1], 1).into(), ca.anchors(), &BTreeMap::new(), |_| {});
    let mut spec = model::Backend::clone(&like.spec);
    if let UpstreamTls::Tls(tls) = &mut spec.tls {
        tls.certificate = Some("a/gone".into());
    }
    let endpoints = Arc::new(model::EndpointSet::default());
    let built = BackendHandle::build(
        &like.name,
        &Arc::new(spec),
        &endpoints,
        &BTreeMap::new(),
        "",
        &Default::default(),
        None,
    );
    assert!(built.unwrap_err().to_string().contains("a/gone"));
}
