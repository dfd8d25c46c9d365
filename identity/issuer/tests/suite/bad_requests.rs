//! Callers who are who they say, and ask for what they must not have.

use std::time::Duration;

use issuer::Limits;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, SanType};
use tonic::{Code, Request};

use crate::client::{csr, csr_of, request};
use crate::rig::Rig;
use identity::proto::istio::IstioCertificateRequest;

async fn refused(rig: &Rig, call: Request<IstioCertificateRequest>, code: Code, reason: &str) {
    let issued = rig.issuer.status().issued;
    let status = rig.client().call(None, call).await.unwrap_err();
    assert_eq!(status.code(), code, "{reason}: {status:?}");
    assert_eq!(rig.log.last_reason(), reason);
    assert_eq!(rig.issuer.status().issued, issued, "{reason}: something was signed");
    let line = rig.log.audit("Refused").pop().unwrap();
    assert_eq!(line["id"], crate::rig::CART, "{reason}: who was refused is logged");
}

#[tokio::test]
async fn requests_that_ask_for_too_much() {
    let rig = Rig::start().await;
    let token = rig.token();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let asks = |names: Vec<SanType>| csr(|params| params.subject_alt_names = names).0;
    let foreign = [
        (asks(vec![uri("spiffe://cluster.local/ns/shop/sa/admin")]), "csr-foreign-uri"),
        (asks(vec![uri("spiffe://evil.test/ns/shop/sa/cart")]), "csr-foreign-uri"),
        (asks(vec![uri(crate::rig::CART), uri("spiffe://cluster.local/ns/a/sa/b")]), "csr-foreign-uri"),
        (asks(vec![uri("https://shop.test/")]), "csr-foreign-uri"),
        (asks(vec![SanType::DnsName("istiod.istio-system.svc".try_into().unwrap())]), "csr-foreign-dns"),
        (asks(vec![SanType::IpAddress("10.0.0.1".parse().unwrap())]), "csr-foreign-name"),
        (asks(vec![SanType::Rfc822Name("root@shop.test".try_into().unwrap())]), "csr-foreign-name"),
        (csr(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).0, "csr-wants-ca"),
        (csr(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]).0, "csr-wants-ca"),
    ];
    for (csr, reason) in foreign {
        refused(&rig, request(Some(&token), &csr), Code::PermissionDenied, reason).await;
    }
}

#[tokio::test]
async fn requests_that_are_broken_or_weak() {
    let rig = Rig::start().await;
    let token = rig.token();
    let (good, _) = csr(|_| {});
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let huge = csr(|params| {
        let name = "a.test".try_into().unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name); 4000];
    });
    let bad = [
        (String::new(), "csr-not-pem"),
        ("-----BEGIN CERTIFICATE REQUEST-----\n".to_owned(), "csr-not-pem"),
        (format!("{good}{good}"), "csr-not-pem"),
        (good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), "csr-not-pem"),
        (huge.0, "csr-too-large"),
        (csr_of(&ed25519, |_| {}), "csr-weak-key"),
        (csr_of(&p521, |_| {}), "csr-weak-key"),
        (RSA_1024.to_owned(), "csr-weak-key"),
        (forged(&good), "csr-bad-signature"),
        (truncated(&good), "csr-malformed"),
    ];
    for (csr, reason) in bad {
        refused(&rig, request(Some(&token), &csr), Code::InvalidArgument, reason).await;
    }
}

#[tokio::test]
async fn more_life_than_is_granted_is_refused_and_not_shortened() {
    let rig = Rig::start().await;
    let (csr, _) = csr(|_| {});
    for seconds in [24 * 3600 + 1, i64::MAX] {
        let mut call = request(Some(&rig.token()), &csr);
        call.get_mut().validity_duration = seconds;
        refused(&rig, call, Code::InvalidArgument, "ttl-too-long").await;
    }
    for seconds in [0, -1, 24 * 3600] {
        let mut call = request(Some(&rig.token()), &csr);
        call.get_mut().validity_duration = seconds;
        rig.client().call(None, call).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_asks_for_another() {
    let rig = Rig::start().await;
    let metadata = |id: &str| Struct {
        fields: [("ImpersonatedIdentity".to_owned(), Value { kind: Some(Kind::StringValue(id.to_owned())) })]
            .into(),
    };
    let (csr, _) = csr(|_| {});
    let mut call = request(Some(&rig.token()), &csr);
    call.get_mut().metadata = Some(metadata("spiffe://cluster.local/ns/shop/sa/admin"));
    refused(&rig, call, Code::PermissionDenied, "impersonation").await;
    let mut call = request(Some(&rig.token()), &csr);
    call.get_mut().metadata = Some(metadata(""));
    rig.client().call(None, call).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_so() {
    let rig = Rig::start_with(|settings| {
        settings.limits = Limits { caller_rate: 1, caller_burst: 2, ..Limits::default() };
    })
    .await;
    let (csr, _) = csr(|_| {});
    let mut connection = rig.client().connect(None).await;
    for _ in 0..2 {
        connection.create_certificate(request(Some(&rig.token()), &csr)).await.unwrap();
    }
    // Whoever is slower than a request a second here gets through now and then.
    let mut refused = None;
    for _ in 0..20 {
        if let Err(status) = connection.create_certificate(request(Some(&rig.token()), &csr)).await {
            refused = Some(status);
            break;
        }
    }
    assert_eq!(refused.unwrap().code(), Code::ResourceExhausted);
    assert_eq!(rig.log.last_reason(), "rate-limited");
    // Others are not held up.
    let other = rig.tokens.sign(&crate::token::claims("shop", "other", rig.clock.now()));
    connection.create_certificate(request(Some(&other), &csr)).await.unwrap();
}

#[tokio::test]
async fn a_giant_message_is_not_read() {
    let rig = Rig::start().await;
    let call = request(Some(&rig.token()), &"x".repeat(1024 * 1024));
    let status = rig.client().call(None, call).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(rig.issuer.status().issued, 1, "nothing but the issuer's own");
}

#[tokio::test]
async fn a_ca_that_has_expired_signs_nothing() {
    let rig = Rig::start().await;
    let (csr, _) = csr(|_| {});
    let mut connection = rig.client().connect(None).await;
    // Ten days and a bit at once: nothing had the time to rotate before this call.
    rig.hand.advance(Duration::from_secs(11 * 24 * 3600));
    let answer = connection.create_certificate(request(Some(&rig.token()), &csr)).await;
    // Either the rotation was quicker, and the new root signed, or nothing was signed.
    match answer {
        Err(status) => assert_eq!(status.code(), Code::Unavailable),
        Ok(answer) => {
            let (chain, _) = crate::client::split(answer.get_ref());
            assert!(rig.believes(&rig.bundles(), &chain));
        }
    }
}

/// The request with another's signature.
fn forged(pem: &str) -> String {
    edit(pem, |der| {
        let last = der.len() - 1;
        der[last] ^= 1;
    })
}

fn truncated(pem: &str) -> String {
    edit(pem, |der| {
        der.pop();
    })
}

fn edit(pem: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = STANDARD.decode(body).unwrap();
    change(&mut der);
    let body = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

/// A request with an RSA key of 1024 bits.
const RSA_1024: &str = "-----BEGIN CERTIFICATE REQUEST-----
MIIBPzCBqQIBADAAMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCnTE2aN00Y
aRw82DXreZCZ/cwcajzno3GX7cTleF6DkzqEDAopp1YyerQa09BCtOtR1P2TJVWN
gDZGTqQD2MqeEO5Bh1uL0RAqRjjynmHhH214XIzo10uuoAJXy/BkD/+jIM518c9B
bSPeUaKH0wETby0Vgu87i5MFXOrl2OTW/QIDAQABoAAwDQYJKoZIhvcNAQELBQAD
gYEAprQQfZeKDTsfRGE17H4uTY8vL68UtozbqaDcU1j6TMZ+KepqU5+N4K5IjYRW
3Yp9ujmtO5eeOU33ztb9D2rFP/w/6GMzckgsMAaGsJSz+Ft9hw3ZAbcvL33mYrG9
F0Ekd5iX50OoFPPWYN+P99PLzDPJMqdPll0WEXIslOFZOjE=
-----END CERTIFICATE REQUEST-----
";
