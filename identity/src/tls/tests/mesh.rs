//! Mesh handshakes in memory: X28 to X31 of the negative table, who is let in, what is chosen, what is counted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{MeshClients, MeshMode, MeshWire, PeerMatch, PeerProfile, TlsVersion};
use rcgen::SanType;
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection};

use super::{blame, client_tls, shake};
use crate::testing::{TestCa, bundles_of};
use crate::verify::Forgiven;
use crate::{
    Blame, ClientAlpn, ClientTlsConfig, Clock, HttpVersion, Identity, MeshAlpn, MeshClient, MeshServer,
    PeerVerdict, ServerTlsConfig, WorkloadId, client_config, http_version, mesh_client_config,
    mesh_server_config, peer_facts, pinned_client_config,
};

const GATEWAY: &str = "spiffe://td.example/ns/edge/sa/gw";
const CART: &str = "spiffe://td.example/ns/shop/sa/cart";

fn clients(mode: MeshMode, peers: &[PeerMatch]) -> MeshClients {
    MeshClients { identity: "test".into(), mode, peers: peers.to_vec() }
}

fn anybody_of(trust_domain: &str) -> MeshClients {
    clients(MeshMode::Strict, &[PeerMatch::TrustDomain(trust_domain.into())])
}

fn listener(identity: &Identity, clients: Option<&MeshClients>) -> ServerTlsConfig {
    let (min_version, alpn) = (TlsVersion::V1_2, MeshAlpn::Http);
    mesh_server_config(MeshServer { identity, clients, certificates: &[], min_version, alpn }).unwrap()
}

fn dial(identity: &Identity, ids: &[&str]) -> ClientTlsConfig {
    dial_as(identity, ids, MeshWire::Spiffe, ClientAlpn::Http)
}

fn dial_as(identity: &Identity, ids: &[&str], wire: MeshWire, alpn: ClientAlpn) -> ClientTlsConfig {
    let ids: Vec<Arc<str>> = ids.iter().map(|id| Arc::from(*id)).collect();
    mesh_client_config(MeshClient { identity, ids: &ids, server_name: None, wire, alpn }).unwrap()
}

fn reason(result: Result<(ClientConnection, ServerConnection), rustls::Error>) -> &'static str {
    crate::HandshakeError::from(&result.map(|_| ()).unwrap_err()).reason
}

#[test]
fn peers_of_one_trust_domain_meet() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    let server = listener(&gateway, Some(&anybody_of("td.example")));
    let (left, right) = shake(&dial(&cart, &[GATEWAY]), &server).unwrap();
    assert_eq!(left.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(right.server_name(), None);
    assert_eq!(http_version(left.alpn_protocol()), HttpVersion::Http2);
    let peer = peer_facts(right.peer_certificates().unwrap(), gateway.profile()).unwrap();
    assert_eq!(peer.id.as_str(), CART);
    assert_eq!(server.verdict(right.peer_certificates()), PeerVerdict::Verified);
    let peer = peer_facts(left.peer_certificates().unwrap(), cart.profile()).unwrap();
    assert_eq!(peer.id.as_str(), GATEWAY);
    gateway.verify_again(&peer).unwrap();
}

#[test]
fn x28_a_strict_listener_demands_a_certificate() {
    let ca = TestCa::new("td.example");
    let gateway = ca.identity(GATEWAY);
    let ids = [WorkloadId::parse(GATEWAY).unwrap()];
    let profile = PeerProfile::SpiffeStrict;
    let nobody = || {
        pinned_client_config(&ca.bundles(), &ids, profile, Clock::system(), None, ClientAlpn::Http).unwrap()
    };
    let strict = listener(&gateway, Some(&anybody_of("td.example")));
    let error = blame(shake(&nobody(), &strict));
    assert_eq!(error, (Blame::PeerUntrusted, "the peer showed no certificate".to_owned()));
    let permissive = clients(MeshMode::Permissive, &[PeerMatch::TrustDomain("td.example".into())]);
    let server = listener(&gateway, Some(&permissive));
    let (_, right) = shake(&nobody(), &server).unwrap();
    assert_eq!(server.verdict(right.peer_certificates()), PeerVerdict::Absent);
    // Nobody is asked where there are no mesh clients.
    let (_, right) = shake(&dial(&ca.identity(CART), &[GATEWAY]), &listener(&gateway, None)).unwrap();
    assert!(right.peer_certificates().is_none());
}

/// A permissive listener lets in whoever shows nothing, but nobody who shows something bad.
#[test]
fn a_shown_certificate_must_verify_even_where_none_is_needed() {
    let ca = TestCa::new("td.example");
    let gateway = ca.identity(GATEWAY);
    let impostor = TestCa::new("td.example").identity(CART);
    let permissive = clients(MeshMode::Permissive, &[PeerMatch::TrustDomain("td.example".into())]);
    // The impostor trusts anybody.
    let dialler = dial(&impostor, &[GATEWAY]);
    let mut config = rustls::ClientConfig::clone(&dialler.config);
    config.dangerous().set_certificate_verifier(Arc::new(AnyServer));
    let dialler = ClientTlsConfig { config: Arc::new(config), ..dialler };
    assert_eq!(reason(shake(&dialler, &listener(&gateway, Some(&permissive)))), "bad_signature");
    assert_eq!(gateway.counters().refused()[&("client", "bad_signature")], 1);
}

#[test]
fn only_those_that_are_wanted_are_let_in() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    for (peers, allowed) in [
        (vec![PeerMatch::Id(CART.into())], true),
        (vec![PeerMatch::Namespace { trust_domain: "td.example".into(), namespace: "shop".into() }], true),
        (vec![PeerMatch::Id("spiffe://td.example/ns/shop/sa/other".into())], false),
        (vec![PeerMatch::TrustDomain("other.example".into())], false),
        (vec![], false),
    ] {
        let server = listener(&gateway, Some(&clients(MeshMode::Strict, &peers)));
        let result = shake(&dial(&cart, &[GATEWAY]), &server);
        assert_eq!(result.is_ok(), allowed, "{peers:?}");
        if !allowed {
            let (blame, detail) = blame(result);
            assert_eq!(blame, Blame::PeerUntrusted);
            assert_eq!(detail, format!("{CART} is not among the peers that are allowed here"));
        }
    }
    assert_eq!(gateway.counters().refused()[&("client", "not_allowed")], 3);
}

#[test]
fn the_endpoint_must_be_one_of_those_that_are_named() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    let server = listener(&cart, Some(&anybody_of("td.example")));
    assert!(shake(&dial(&gateway, &["spiffe://td.example/x", CART]), &server).is_ok());
    for ids in [&[][..], &["spiffe://td.example/ns/shop/sa/carts"], &["spiffe://td.example/ns/shop/sa"]] {
        assert_eq!(reason(shake(&dial(&gateway, ids), &server)), "not_allowed", "{ids:?}");
    }
    assert_eq!(gateway.counters().refused()[&("server", "not_allowed")], 3);
}

/// X29: names are neither checked nor able to make up for the chain.
#[test]
fn x29_dns_names_count_for_nothing() {
    let ca = TestCa::new("td.example");
    let gateway = ca.identity(GATEWAY);
    let with_dns = |ca: &TestCa| {
        let issued = ca.issue_with(CART, |params| {
            params.subject_alt_names.push(SanType::DnsName("cart.example".try_into().unwrap()));
        });
        let (identity, publisher) = Identity::new("cart", PeerProfile::SpiffeStrict, Clock::system());
        publisher.publish(issued.svid(PeerProfile::SpiffeStrict), ca.bundles(), Vec::new()).unwrap();
        identity
    };
    let ids = [Arc::from(CART)];
    let dial = |name| {
        let (wire, alpn) = (MeshWire::Istio, ClientAlpn::Http1);
        mesh_client_config(MeshClient { identity: &gateway, ids: &ids, server_name: Some(name), wire, alpn })
            .unwrap()
    };
    let sni = "outbound_.80_._.cart.shop.svc.cluster.local";
    for name in ["cart.example", "other.example", sni] {
        let (_, right) = shake(&dial(name), &listener(&with_dns(&ca), None)).unwrap();
        assert_eq!(right.server_name(), Some(name));
    }
    let impostor = with_dns(&TestCa::new("td.example"));
    assert_eq!(reason(shake(&dial("cart.example"), &listener(&impostor, None))), "bad_signature");
}

/// X30: a resumed session would skip the verifier, so there are none: no tickets, no session store.
#[test]
fn x30_no_session_is_ever_resumed() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    for min_version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let clients = anybody_of("td.example");
        let (certificates, alpn) = (&[][..], MeshAlpn::Http);
        let config =
            MeshServer { identity: &gateway, clients: Some(&clients), certificates, min_version, alpn };
        let server = mesh_server_config(config).unwrap();
        let dialler = dial(&cart, &[GATEWAY]);
        for dialler in [&dialler, &dialler, &dialler.with_alpn(ClientAlpn::Http1)] {
            let (left, right) = shake(dialler, &server).unwrap();
            assert_eq!(left.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(right.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(left.tls13_tickets_received(), 0);
        }
        // A client that would resume, too.
        let mut eager = rustls::ClientConfig::clone(&dialler.config);
        eager.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let eager = ClientTlsConfig { config: Arc::new(eager), ..dialler };
        for _ in 0..2 {
            let (left, _) = shake(&eager, &server).unwrap();
            assert_eq!(left.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

/// X30, X31: the same configurations judge by the material of the moment; live connections are judged again.
#[test]
fn x31_trust_that_is_removed_is_gone_at_once() {
    let (ca, partner) = (TestCa::new("td.example"), TestCa::new("partner.example"));
    let (gateway, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, Clock::system());
    let svid = ca.issue(GATEWAY);
    publisher.publish(svid.clone(), bundles_of(&[&ca, &partner]), Vec::new()).unwrap();
    let (other, theirs) = Identity::new("partner", PeerProfile::SpiffeStrict, Clock::system());
    let guest = "spiffe://partner.example/a";
    theirs.publish(partner.issue(guest), bundles_of(&[&ca, &partner]), Vec::new()).unwrap();

    let server = listener(&gateway, Some(&anybody_of("partner.example")));
    let dialler = dial(&other, &[GATEWAY]);
    let (_, right) = shake(&dialler, &server).unwrap();
    let peer = peer_facts(right.peer_certificates().unwrap(), gateway.profile()).unwrap();
    gateway.verify_again(&peer).unwrap();

    let leaf = &other.material().unwrap().svid.chain()[0].clone();
    publisher.publish(svid.clone(), bundles_of(&[&ca, &partner]), vec![partner.revoke(&[leaf])]).unwrap();
    assert_eq!(reason(shake(&dialler, &server)), "revoked");
    assert_eq!(gateway.verify_again(&peer).unwrap_err().reason(), "revoked");

    publisher.publish(svid, ca.bundles(), Vec::new()).unwrap();
    assert_eq!(reason(shake(&dialler, &server)), "no_bundle");
    assert_eq!(gateway.verify_again(&peer).unwrap_err().reason(), "no_bundle");
    assert_eq!(gateway.counters().refused()[&("client", "no_bundle")], 1);
}

#[test]
fn without_material_every_handshake_is_refused_with_the_reason() {
    let ca = TestCa::new("td.example");
    let cart = ca.identity(CART);
    let (gateway, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, Clock::system());
    let server = listener(&gateway, Some(&anybody_of("td.example")));
    let (blame_, detail) = blame(shake(&dial(&cart, &[GATEWAY]), &server));
    assert_eq!(blame_, Blame::LocalNotReady);
    assert_eq!(detail, "there is no certificate to show: the listener's identity is not ready");
    publisher.failed(&std::io::Error::other("the CA is away"));
    let error = blame(shake(&dial(&gateway, &[CART]), &listener(&cart, None)));
    let text = "the identity gw is not ready: no SVID was had yet: the CA is away";
    assert_eq!(error, (Blame::LocalNotReady, text.to_owned()));
    // The same configurations work as soon as there is some.
    ca.publish(&publisher, GATEWAY);
    assert!(shake(&dial(&cart, &[GATEWAY]), &server).is_ok());
    publisher.withdraw("the workload is registered no more");
    let error = blame(shake(&dial(&gateway, &[CART]), &listener(&cart, None)));
    assert!(error.1.ends_with("it was withdrawn: the workload is registered no more"), "{}", error.1);
}

#[test]
fn at_its_end_an_identity_fails_closed() {
    let ca = TestCa::new("td.example");
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    let (clock, hand) = Clock::by_hand(start);
    let (gateway, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, clock.clone());
    let issued = ca.issue_with(GATEWAY, |params| {
        params.not_before = crate::testing::time(start);
        params.not_after = crate::testing::time(start + Duration::from_secs(3600));
    });
    publisher.publish(issued.svid(PeerProfile::SpiffeStrict), ca.bundles(), Vec::new()).unwrap();
    let cart = ca.identity_by(clock, CART);
    let server = listener(&cart, Some(&anybody_of("td.example")));
    let dialler = dial(&gateway, &[CART]);
    assert!(shake(&dialler, &server).is_ok());
    hand.advance(Duration::from_secs(3600));
    let error = blame(shake(&dialler, &server));
    let text = "the identity gw is not ready: its SVID has ended and was not renewed";
    assert_eq!(error, (Blame::LocalNotReady, text.to_owned()));
}

#[test]
fn alpn_is_chosen_so_that_the_codec_is_known() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    let server = listener(&cart, Some(&anybody_of("td.example")));
    use ClientAlpn as A;
    use MeshWire::{Istio, Spiffe};
    for (wire, alpn, chosen, version) in [
        (Istio, A::Http, Some("istio-h2"), HttpVersion::Http2),
        (Istio, A::Http1, Some("istio-http/1.1"), HttpVersion::Http1),
        (Istio, A::Http2, Some("istio-h2"), HttpVersion::Http2),
        (Istio, A::None, Some("istio"), HttpVersion::Opaque),
        (Spiffe, A::Http, Some("h2"), HttpVersion::Http2),
        (Spiffe, A::Http1, Some("http/1.1"), HttpVersion::Http1),
        (Spiffe, A::None, None, HttpVersion::Unknown),
    ] {
        let dialler = dial_as(&gateway, &[CART], wire, A::Http).with_alpn(alpn);
        assert_eq!(
            dialler.config.alpn_protocols,
            dial_as(&gateway, &[CART], wire, alpn).config.alpn_protocols
        );
        let (left, right) = shake(&dialler, &server).unwrap();
        assert_eq!(left.alpn_protocol(), chosen.map(str::as_bytes));
        assert_eq!(http_version(right.alpn_protocol()), version);
    }
    // Opaque listeners choose nothing, whatever is offered.
    let (certificates, min_version) = (&[][..], TlsVersion::V1_2);
    let bytes =
        MeshServer { identity: &cart, clients: None, certificates, min_version, alpn: MeshAlpn::None };
    let bytes = mesh_server_config(bytes).unwrap();
    let (left, _) = shake(&dial_as(&gateway, &[CART], Istio, A::Http), &bytes).unwrap();
    assert_eq!(left.alpn_protocol(), None);
}

#[test]
fn a_mesh_listener_may_show_ordinary_certificates() {
    let (ca, web) = (TestCa::new("td.example"), super::Ca::new("web"));
    let (gateway, pair) = (ca.identity(GATEWAY), web.issue(&["a.example"], &[]));
    let clients = anybody_of("td.example");
    let (certificates, min_version, alpn) = (&[&pair][..], TlsVersion::V1_2, MeshAlpn::Http);
    let server = MeshServer { identity: &gateway, clients: Some(&clients), certificates, min_version, alpn };
    let server = mesh_server_config(server).unwrap();
    let cart = ca.issue_with(CART, |_| {}).key_pair();
    let dialler = client_config(&client_tls(&web, "a.example", &[]), Some(&cart), ClientAlpn::Http).unwrap();
    let (_, right) = shake(&dialler, &server).unwrap();
    assert_eq!(server.verdict(right.peer_certificates()), PeerVerdict::Verified);
    // Without material nobody can be judged, although there is something to show.
    let (waiting, _publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, Clock::system());
    let closed = MeshServer { identity: &waiting, clients: Some(&clients), certificates, min_version, alpn };
    let error = blame(shake(&dialler, &mesh_server_config(closed).unwrap()));
    let text = "the identity gw is not ready: no SVID was had yet";
    assert_eq!(error, (Blame::LocalNotReady, text.to_owned()));
    // A client of no mesh is refused.
    let other = client_config(&client_tls(&web, "a.example", &[]), Some(&pair), ClientAlpn::Http).unwrap();
    assert_eq!(reason(shake(&other, &server)), "no_basic_constraints");
}

#[test]
fn tls_1_2_is_spoken_unless_it_is_forbidden() {
    let ca = TestCa::new("td.example");
    let (gateway, cart) = (ca.identity(GATEWAY), ca.identity(CART));
    let dialler = dial(&cart, &[GATEWAY]);
    let verifier = rustls::ClientConfig::builder_with_provider(Arc::clone(crate::tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    let mut old = verifier.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    old.client_auth_cert_resolver = Arc::clone(&dialler.config.client_auth_cert_resolver);
    old.alpn_protocols = vec![b"h2".to_vec()];
    old.dangerous().set_certificate_verifier(Arc::new(AnyServer));
    let old = ClientTlsConfig { config: Arc::new(old), ..dialler };
    let clients = anybody_of("td.example");
    for (min_version, spoken) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
        let (certificates, alpn) = (&[][..], MeshAlpn::Http);
        let server =
            MeshServer { identity: &gateway, clients: Some(&clients), certificates, min_version, alpn };
        assert_eq!(shake(&old, &mesh_server_config(server).unwrap()).is_ok(), spoken);
    }
}

#[test]
fn what_is_forgiven_is_counted() {
    let ca = TestCa::new("td.example");
    let gateway = ca.identity(GATEWAY);
    let odd = ca.issue_with(CART, |params| {
        params.key_usages.clear();
        let mut usage = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]);
        usage.set_criticality(false);
        params.custom_extensions.push(usage);
    });
    let (cart, publisher) = Identity::new("cart", PeerProfile::SpiffeStrict, Clock::system());
    publisher.publish(odd.svid(PeerProfile::SpiffeStrict), ca.bundles(), Vec::new()).unwrap();
    shake(&dial(&cart, &[GATEWAY]), &listener(&gateway, Some(&anybody_of("td.example")))).unwrap();
    assert_eq!(gateway.counters().forgiven()[&Forgiven::KeyUsageNotCritical], 1);
    assert_eq!(cart.counters().forgiven().len(), 0);
}

/// Lets a test be a client of another make.
#[derive(Debug)]
struct AnyServer;

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        crate::tls::mesh::verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        crate::tls::mesh::verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::tls::mesh::schemes()
    }
}
