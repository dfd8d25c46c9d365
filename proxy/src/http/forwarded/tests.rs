//! Whose forwarding headers are believed, and what is appended.

use model::PeerMatch;

use super::*;

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

fn policy(trusted_hops: u32, trusted: &[&str]) -> Forwarded {
    Forwarded {
        trusted_hops,
        trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
        ..Forwarded::default()
    }
}

fn connection(policy: &Forwarded) -> Arc<ConnectionPolicy> {
    Arc::new(ConnectionPolicy { forwarded: policy.clone(), ..ConnectionPolicy::default() })
}

fn client(peer: &str, policy: &Forwarded) -> Client {
    Client::new(peer.parse().unwrap(), false, None, None, &connection(policy))
}

#[test]
fn an_unbelieved_peer_says_nothing_of_others() {
    let policy = policy(0, &[]);
    let client = client("192.0.2.7", &policy);
    let mut headers = map(&[
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-client-cert", "By=x"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-envoy-original-path", "/admin"),
        ("l5d-client-id", "root"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x.forwarded.for", "10.0.0.1"),
        ("x_auth_user", "root"),
        ("x.version", "1"),
        ("accept", "*/*"),
    ]);
    client.sanitise(&mut headers, &policy);
    assert_eq!(names(&headers), ["accept", "x.version"]);
    assert_eq!(client.address(&headers, &policy), client.peer);
    client.announce(
        &mut headers,
        Some(&HeaderValue::from_static("a.example")),
        &HeaderValue::from_static("80"),
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "a.example");
    assert_eq!(headers["x-forwarded-port"], "80");
    assert!(!headers.contains_key("forwarded"));
}

#[test]
fn a_believed_peer_is_appended_to() {
    let policy = policy(0, &["192.0.2.0/24"]);
    let client = client("192.0.2.7", &policy);
    let mut headers = map(&[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.9"),
    ]);
    client.sanitise(&mut headers, &policy);
    assert_eq!(client.address(&headers, &policy).to_string(), "203.0.113.9");
    client.announce(
        &mut headers,
        Some(&HeaderValue::from_static("a.example")),
        &HeaderValue::from_static("80"),
    );
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["forwarded"], "for=203.0.113.9, for=192.0.2.7;host=\"a.example\";proto=http");
}

#[test]
fn the_client_is_found_by_hops_or_by_networks() {
    for (hops, trusted, field, expected) in [
        (1, &[][..], "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        (2, &[][..], "1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (3, &[][..], "1.1.1.1, 2.2.2.2", "10.0.0.1"),
        (1, &["10.0.0.0/8"][..], "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        (0, &["10.0.0.0/8"][..], "6.6.6.6, 1.1.1.1, 10.2.3.4", "1.1.1.1"),
        (0, &["10.0.0.0/8"][..], "10.9.9.9, 10.2.3.4", "10.9.9.9"),
        (0, &["10.0.0.0/8"][..], "1.1.1.1, nonsense, 10.2.3.4", "10.2.3.4"),
        (0, &["10.0.0.0/8"][..], "1.1.1.1:4711", "1.1.1.1"),
        (0, &["10.0.0.0/8"][..], "[2001:db8::1]:4711", "2001:db8::1"),
        (0, &["10.0.0.0/8"][..], "2001:db8::1", "2001:db8::1"),
        (1, &["10.0.0.0/8"][..], "", "10.0.0.1"),
    ] {
        let policy = policy(hops, trusted);
        let client = client("10.0.0.1", &policy);
        let headers = map(&[("x-forwarded-for", field)]);
        assert_eq!(client.address(&headers, &policy).to_string(), expected, "{hops} {trusted:?} {field}");
    }
}

#[test]
fn several_fields_are_one_list() {
    let policy = policy(2, &[]);
    let client = client("10.0.0.1", &policy);
    let mut headers = map(&[("x-forwarded-for", "1.1.1.1, 3.3.3.3"), ("x-forwarded-for", "2.2.2.2")]);
    assert_eq!(client.address(&headers, &policy).to_string(), "3.3.3.3");
    client.announce(&mut headers, None, &HeaderValue::from_static("80"));
    assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 3.3.3.3, 2.2.2.2, 10.0.0.1");
}

#[test]
fn hops_are_counted_only_for_named_peers_if_any_are_named() {
    let policy = policy(1, &["10.0.0.0/8"]);
    assert!(!believed("192.0.2.1".parse().unwrap(), None, &policy));
    assert!(believed("10.1.1.1".parse().unwrap(), None, &policy));
    assert!(!believed("192.0.2.1".parse().unwrap(), None, &Forwarded::default()));
}

#[test]
fn a_mapped_address_is_the_address() {
    let policy = policy(0, &["192.0.2.0/24"]);
    let client = client("::ffff:192.0.2.7", &policy);
    assert!(client.believed());
    assert_eq!(client.peer_value, "192.0.2.7");
}

#[test]
fn the_client_certificate_header_follows_the_policy() {
    for (mode, trusted, theirs, expected) in [
        (ClientCertHeader::Sanitize, true, "Hash=theirs", None),
        (ClientCertHeader::SanitizeSet, true, "Hash=theirs", Some("Hash=ours")),
        (ClientCertHeader::SanitizeSet, false, "Hash=theirs", Some("Hash=ours")),
        (ClientCertHeader::AppendForward, true, "Hash=theirs", Some("Hash=theirs,Hash=ours")),
        (ClientCertHeader::AppendForward, true, "Hash=1,Hash=2", Some("Hash=1,Hash=2,Hash=ours")),
        (ClientCertHeader::AppendForward, true, "Subject=\"open", Some("Hash=ours")),
        (ClientCertHeader::AppendForward, false, "Hash=theirs", Some("Hash=ours")),
        (ClientCertHeader::ForwardOnly, true, "Hash=theirs", Some("Hash=theirs")),
        (ClientCertHeader::ForwardOnly, false, "Hash=theirs", None),
    ] {
        let networks = if trusted { vec!["10.0.0.0/8".parse().unwrap()] } else { vec![] };
        let policy = Forwarded { trusted: networks, client_cert: mode, ..Forwarded::default() };
        let certificate = Some(ClientCertificate::said("Hash=ours"));
        let client = Client::new("10.0.0.1".parse().unwrap(), true, certificate, None, &connection(&policy));
        let mut headers = map(&[("x-forwarded-client-cert", theirs)]);
        client.sanitise(&mut headers, &policy);
        client.announce_certificate(&mut headers, &policy);
        let value = headers.get("x-forwarded-client-cert").map(|value| value.to_str().unwrap());
        assert_eq!(value, expected, "{mode:?} {trusted} {theirs}");
    }
}

#[test]
fn several_fields_of_certificates_are_one_list() {
    let policy = Forwarded {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        client_cert: ClientCertHeader::AppendForward,
        ..Forwarded::default()
    };
    let certificate = Some(ClientCertificate::said("Hash=3"));
    let client = Client::new("10.0.0.1".parse().unwrap(), true, certificate, None, &connection(&policy));
    let mut headers = map(&[("x-forwarded-client-cert", "Hash=1"), ("x-forwarded-client-cert", "Hash=2")]);
    client.announce_certificate(&mut headers, &policy);
    assert_eq!(headers.get_all("x-forwarded-client-cert").iter().count(), 1);
    assert_eq!(headers["x-forwarded-client-cert"], "Hash=1,Hash=2,Hash=3");
}

#[test]
fn a_trusted_peer_is_known_by_identity_and_by_nothing_else() {
    let central = WorkloadId::parse("spiffe://cluster.local/ns/edge/sa/central").unwrap();
    let other = WorkloadId::parse("spiffe://cluster.local/ns/edge/sa/central2").unwrap();
    let here = "192.0.2.1".parse().unwrap();
    for (peers, hops) in [
        (PeerMatch::Id("spiffe://cluster.local/ns/edge/sa/central".into()), 0),
        (PeerMatch::Id("spiffe://cluster.local/ns/edge/sa/central".into()), 2),
    ] {
        let policy = Forwarded { trusted_hops: hops, trusted_peers: vec![peers], ..Forwarded::default() };
        assert!(believed(here, Some(&central), &policy));
        assert!(!believed(here, Some(&other), &policy));
        assert!(!believed(here, None, &policy), "hops do not make up for an identity");
    }
    let namespace = PeerMatch::Namespace { trust_domain: "cluster.local".into(), namespace: "edge".into() };
    let policy = Forwarded { trusted_peers: vec![namespace], ..Forwarded::default() };
    assert!(believed(here, Some(&central), &policy));
}

#[test]
fn whom_to_believe_is_looked_at_anew_with_a_new_policy() {
    let central = WorkloadId::parse("spiffe://cluster.local/ns/edge/sa/central").unwrap();
    let peers = vec![PeerMatch::TrustDomain("cluster.local".into())];
    let trusting = connection(&Forwarded { trusted_peers: peers, ..Forwarded::default() });
    let client = Client::new("192.0.2.1".parse().unwrap(), true, None, Some(&central), &trusting);
    assert!(client.believed());
    client.judge(Some(&central), &connection(&Forwarded::default()));
    assert!(!client.believed());
    client.judge(Some(&central), &trusting);
    assert!(client.believed());
}

#[test]
fn baggage_keeps_what_names_no_workload() {
    let policy = policy(0, &[]);
    let client = client("192.0.2.7", &policy);
    let mut headers = map(&[("baggage", "user=1, k8s.namespace.name=kube-system,trip=2")]);
    client.sanitise(&mut headers, &policy);
    assert_eq!(headers["baggage"], "user=1,trip=2");
    let mut headers = map(&[("baggage", "service.name=x")]);
    client.sanitise(&mut headers, &policy);
    assert!(headers.is_empty());
}

#[test]
fn trailers_cannot_speak_for_others() {
    let mut trailers = map(&[("grpc-status", "0"), ("x-forwarded-for", "1.1.1.1"), ("content-length", "3")]);
    strip_trailers(&mut trailers);
    assert_eq!(names(&trailers), ["grpc-status"]);
}

#[test]
fn a_believed_proxy_says_where_the_client_came_in() {
    let policy = policy(0, &["10.0.0.0/8"]);
    let (proxy, stranger) = (client("10.0.0.1", &policy), client("192.0.2.1", &policy));
    let headers = map(&[("x-forwarded-proto", "https")]);
    assert_eq!(proxy.entrance(&headers, 8080), ("https", 443));
    assert_eq!(stranger.entrance(&headers, 8080), ("http", 8080));
    let headers = map(&[("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")]);
    assert_eq!(proxy.entrance(&headers, 8080), ("https", 8443));
    assert_eq!(proxy.entrance(&map(&[("x-forwarded-proto", "http")]), 8080), ("http", 8080));
    assert_eq!(proxy.entrance(&map(&[]), 8080), ("http", 8080));
}
