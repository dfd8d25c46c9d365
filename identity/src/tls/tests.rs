//! Handshakes in memory: who trusts whom, what is shown, what is remembered.

mod mesh;

use std::sync::Arc;

use model::{
    ClientAuth, ClientTls, KeyPair, Roots, Secret, ServerTls, SubjectName, TlsVersion, TrustAnchors,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, SanType, date_time_ymd};
use rustls::{ClientConnection, HandshakeKind, ServerConnection};

use crate::{
    Blame, ClientAlpn, ClientTlsConfig, ConfigError, HandshakeError, PeerVerdict, ServerAlpn,
    ServerTlsConfig, client_config, server_config,
};

/// A certificate authority.
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

    fn issue(&self, dns: &[&str], uris: &[&str]) -> KeyPair {
        self.issue_with(dns, uris, |_| {})
    }

    fn issue_with(&self, dns: &[&str], uris: &[&str], change: impl Fn(&mut CertificateParams)) -> KeyPair {
        let names: Vec<String> = dns.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().pem();
        KeyPair { certificate_chain: chain.into(), private_key: Secret::new(key.serialize_pem().into()) }
    }
}

fn server(pairs: &[&KeyPair], client_auth: ClientAuth) -> ServerTlsConfig {
    let certificates = (0..pairs.len()).map(|index| index.to_string().into()).collect();
    let tls = ServerTls { certificates, svid: None, min_version: TlsVersion::V1_2, client_auth };
    server_config(&tls, pairs, ServerAlpn::Http).unwrap()
}

fn client_tls(ca: &Ca, name: &str, names: &[SubjectName]) -> ClientTls {
    ClientTls {
        server_name: name.into(),
        roots: Roots::Pem(ca.anchors()),
        names: names.to_vec(),
        certificate: None,
    }
}

fn client(ca: &Ca, name: &str, names: &[SubjectName]) -> ClientTlsConfig {
    client_config(&client_tls(ca, name, names), None, ClientAlpn::Http).unwrap()
}

fn client_with(ca: &Ca, name: &str, pair: &KeyPair) -> ClientTlsConfig {
    client_config(&client_tls(ca, name, &[]), Some(pair), ClientAlpn::Http).unwrap()
}

/// Shakes hands. The first error of either side ends it.
fn shake(
    client: &ClientTlsConfig,
    server: &ServerTlsConfig,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut left = ClientConnection::new(Arc::clone(&client.config), client.server_name.clone()).unwrap();
    let mut right = ServerConnection::new(Arc::clone(&server.config)).unwrap();
    // A few more rounds than a handshake needs, so that tickets arrive.
    for _ in 0..6 {
        let mut wire = Vec::new();
        while left.wants_write() {
            left.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            right.read_tls(&mut rest).unwrap();
            right.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while right.wants_write() {
            right.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            left.read_tls(&mut rest).unwrap();
            left.process_new_packets()?;
        }
    }
    assert!(!left.is_handshaking() && !right.is_handshaking());
    Ok((left, right))
}

fn blame(result: Result<(ClientConnection, ServerConnection), rustls::Error>) -> (Blame, String) {
    let error = HandshakeError::from(&result.map(|_| ()).unwrap_err());
    (error.blame, error.detail)
}

#[test]
fn a_trusted_name_is_let_in() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["a.example"], &[]);
    let (left, right) = shake(&client(&ca, "a.example", &[]), &server(&[&pair], ClientAuth::None)).unwrap();
    assert_eq!(left.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(right.server_name(), Some("a.example"));
}

#[test]
fn another_ca_is_not_trusted() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let pair = other.issue(&["a.example"], &[]);
    let (blame, detail) = blame(shake(&client(&ca, "a.example", &[]), &server(&[&pair], ClientAuth::None)));
    assert_eq!(blame, Blame::PeerUntrusted);
    assert!(detail.contains("UnknownIssuer"), "{detail}");
}

#[test]
fn another_name_is_not_trusted() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["b.example"], &[]);
    let (blame, detail) = blame(shake(&client(&ca, "a.example", &[]), &server(&[&pair], ClientAuth::None)));
    assert_eq!(blame, Blame::PeerUntrusted);
    assert!(detail.contains("b.example"), "{detail}");
}

#[test]
fn an_expired_certificate_is_not_trusted() {
    let ca = Ca::new("ca");
    let pair = ca.issue_with(&["a.example"], &[], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let (blame, detail) = blame(shake(&client(&ca, "a.example", &[]), &server(&[&pair], ClientAuth::None)));
    assert_eq!(blame, Blame::PeerUntrusted);
    assert!(detail.contains("expired"), "{detail}");
}

#[test]
fn any_one_of_the_names_will_do() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["b.example"], &["spiffe://td/ns/a/sa/b"]);
    let server = server(&[&pair], ClientAuth::None);
    let dns = |name: &str| SubjectName::Dns(name.into());
    let uri = |uri: &str| SubjectName::Uri(uri.into());
    for names in [
        vec![uri("spiffe://td/ns/a/sa/b")],
        vec![uri("spiffe://td/ns/a/sa/other"), dns("b.example")],
        vec![dns("c.example"), uri("spiffe://td/ns/a/sa/b")],
    ] {
        assert!(shake(&client(&ca, "a.example", &names), &server).is_ok(), "{names:?}");
    }
    for names in [
        vec![uri("spiffe://td/ns/a/sa/other")],
        vec![uri("spiffe://TD/ns/a/sa/b")],
        vec![uri("spiffe://td/ns/a/sa/")],
        vec![dns("a.example")],
        vec![dns("c.example"), uri("https://b.example")],
    ] {
        let (blame, detail) = blame(shake(&client(&ca, "b.example", &names), &server));
        assert_eq!(blame, Blame::PeerUntrusted, "{names:?}: {detail}");
    }
}

#[test]
fn names_do_not_make_up_for_the_chain() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let pair = other.issue(&[], &["spiffe://td/ns/a/sa/b"]);
    let names = [SubjectName::Uri("spiffe://td/ns/a/sa/b".into())];
    let (blame, _) = blame(shake(&client(&ca, "a.example", &names), &server(&[&pair], ClientAuth::None)));
    assert_eq!(blame, Blame::PeerUntrusted);
}

#[test]
fn a_demanded_client_certificate_must_come_and_chain() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let pair = ca.issue(&["a.example"], &[]);
    let server = server(&[&pair], ClientAuth::Require(ca.anchors()));
    let good = ca.issue(&["client"], &[]);
    let (_, right) = shake(&client_with(&ca, "a.example", &good), &server).unwrap();
    assert_eq!(server.verdict(right.peer_certificates()), PeerVerdict::Verified);
    assert_eq!(blame(shake(&client(&ca, "a.example", &[]), &server)).0, Blame::PeerUntrusted);
    let bad = other.issue(&["client"], &[]);
    assert_eq!(blame(shake(&client_with(&ca, "a.example", &bad), &server)).0, Blame::PeerUntrusted);
}

#[test]
fn insecure_fallback_lets_everybody_in_and_knows_who_is_who() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let pair = ca.issue(&["a.example"], &[]);
    let server = server(&[&pair], ClientAuth::InsecureFallback(ca.anchors()));
    let verdict = |client: &ClientTlsConfig| {
        let (_, right) = shake(client, &server).unwrap();
        server.verdict(right.peer_certificates())
    };
    assert_eq!(verdict(&client(&ca, "a.example", &[])), PeerVerdict::Absent);
    let stranger = other.issue(&["client"], &[]);
    assert_eq!(verdict(&client_with(&ca, "a.example", &stranger)), PeerVerdict::Unverified);
    let expired = ca.issue_with(&["client"], &[], |params| params.not_after = date_time_ymd(2021, 1, 1));
    assert_eq!(verdict(&client_with(&ca, "a.example", &expired)), PeerVerdict::Unverified);
    let known = ca.issue(&["client"], &[]);
    assert_eq!(verdict(&client_with(&ca, "a.example", &known)), PeerVerdict::Verified);
}

#[test]
fn a_client_ca_that_is_missing_closes_the_listener() {
    let pair = Ca::new("ca").issue(&["a.example"], &[]);
    let tls = ServerTls {
        certificates: vec!["a".into()],
        svid: None,
        min_version: TlsVersion::V1_2,
        client_auth: ClientAuth::Closed { reason: "ConfigMap a/b is missing".into() },
    };
    let error = server_config(&tls, &[&pair], ServerAlpn::Http).unwrap_err();
    assert_eq!(error, ConfigError::ClientAuthClosed { reason: "ConfigMap a/b is missing".into() });
}

#[test]
fn sessions_resume_only_without_client_certificates() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["a.example"], &[]);
    let again = |client: &ClientTlsConfig, server: &ServerTlsConfig| {
        shake(client, server).unwrap();
        shake(client, server).unwrap().1.handshake_kind()
    };
    let open = server(&[&pair], ClientAuth::None);
    assert_eq!(again(&client(&ca, "a.example", &[]), &open), Some(HandshakeKind::Resumed));
    let strict = server(&[&pair], ClientAuth::Require(ca.anchors()));
    let known = client_with(&ca, "a.example", &ca.issue(&["client"], &[]));
    assert_eq!(again(&known, &strict), Some(HandshakeKind::Full));
    let loose = server(&[&pair], ClientAuth::InsecureFallback(ca.anchors()));
    assert_eq!(again(&known, &loose), Some(HandshakeKind::Full));
}

#[test]
fn a_ticket_of_one_listener_is_nothing_to_another() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["a.example"], &[]);
    let client = client(&ca, "a.example", &[]);
    let (open, other) = (server(&[&pair], ClientAuth::None), server(&[&pair], ClientAuth::None));
    shake(&client, &open).unwrap();
    assert_eq!(shake(&client, &other).unwrap().1.handshake_kind(), Some(HandshakeKind::Full));
    shake(&client, &open).unwrap();
    let strict = server(&[&pair], ClientAuth::Require(ca.anchors()));
    assert_eq!(blame(shake(&client, &strict)).0, Blame::PeerUntrusted, "the certificate is demanded");
}

#[test]
fn the_certificate_that_fits_the_name_is_served_else_the_first() {
    let ca = Ca::new("ca");
    let (first, second) = (ca.issue(&["a.example"], &[]), ca.issue(&["*.b.example"], &[]));
    let server = server(&[&first, &second], ClientAuth::None);
    let served = |name: &str, expected: &str| {
        let names = [SubjectName::Dns(expected.into())];
        shake(&client(&ca, name, &names), &server).is_ok()
    };
    assert!(served("a.example", "a.example"));
    assert!(served("x.b.example", "x.b.example"));
    assert!(served("nobody.example", "a.example"), "no match: the first");
    assert!(served("127.0.0.1", "a.example"), "no SNI: the first");
}

#[test]
fn a_certificate_for_the_bare_asterisk_is_served() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["*"], &["spiffe://td/x"]);
    let names = [SubjectName::Uri("spiffe://td/x".into())];
    assert!(shake(&client(&ca, "any.example", &names), &server(&[&pair], ClientAuth::None)).is_ok());
}

#[test]
fn the_lowest_version_is_kept() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&["a.example"], &[]);
    let tls = ServerTls {
        certificates: vec!["a".into()],
        svid: None,
        min_version: TlsVersion::V1_3,
        client_auth: ClientAuth::None,
    };
    let strict = server_config(&tls, &[&pair], ServerAlpn::None).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut roots = rustls::RootCertStore::empty();
    let anchors = ca.anchors();
    for root in <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(
        anchors.0.as_bytes(),
    ) {
        roots.add(root.unwrap()).unwrap();
    }
    let old = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let old =
        ClientTlsConfig { config: Arc::new(old), server_name: "a.example".try_into().unwrap(), mesh: None };
    let (_, right) = shake(&old, &server(&[&pair], ClientAuth::None)).unwrap();
    assert_eq!(right.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert!(shake(&old, &strict).is_err());
}

#[test]
fn broken_material_is_named() {
    let ca = Ca::new("ca");
    let mut tls = client_tls(&ca, "a.example", &[]);
    tls.roots = Roots::Pem(TrustAnchors("nothing".into()));
    let error = client_config(&tls, None, ClientAlpn::Http).unwrap_err();
    assert!(error.to_string().starts_with("the CA cannot be used"), "{error}");
    let tls = client_tls(&ca, "not a name", &[]);
    assert!(matches!(client_config(&tls, None, ClientAlpn::Http), Err(ConfigError::ServerName { .. })));
    let tls = ServerTls {
        certificates: Vec::new(),
        svid: None,
        min_version: TlsVersion::V1_2,
        client_auth: ClientAuth::None,
    };
    assert_eq!(server_config(&tls, &[], ServerAlpn::Http).unwrap_err(), ConfigError::NoCertificate);
}
