//! Whoever proves who it is gets a certificate for that, in the shape that SPIFFE wants.

use std::time::Duration;

use identity::verify::lint_leaf;
use identity::{Issue, IssueError};
use model::PeerProfile;
use rcgen::{KeyPair, SanType};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{self, csr, csr_of, request};
use crate::rig::{CART, Rig, id};

#[tokio::test]
async fn a_pod_gets_a_leaf_in_the_right_shape() {
    let rig = Rig::start().await;
    // What the request says of itself is not used: its subject, its usages.
    let (request_pem, key) = csr(|params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names = vec![SanType::URI(CART.try_into().unwrap())];
    });
    let answer = rig.client().call(None, request(Some(&rig.token()), &request_pem)).await.unwrap();
    assert!(answer.cert_chain.iter().all(|text| text.ends_with("-----END CERTIFICATE-----\n")));
    let (chain, roots) = client::split(&answer);
    assert_eq!(roots, rig.roots());
    assert_eq!(chain.len(), 1, "a root of our own is not handed out with the leaf");
    assert_eq!(lint_leaf(&chain[0], PeerProfile::SpiffeStrict).unwrap().as_str(), CART);
    assert_eq!(lint_leaf(&chain[0], PeerProfile::Istio).unwrap().as_str(), CART);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    assert_eq!(leaf.subject().iter().count(), 0);
    assert!(leaf.subject_alternative_name().unwrap().unwrap().critical);
    assert_eq!(leaf.raw_serial().len(), 16);
    assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_encipherment());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.code_signing);
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!((600..=610 + 1).contains(&life), "{life}");
    let has = |wanted| leaf.extensions().iter().any(|extension| extension.oid == wanted);
    assert!(has(x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER));
    assert!(has(x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER));
    let line = rig.log.audit("Issued").pop().unwrap();
    assert_eq!(line["id"], CART);
    assert_eq!(line["method"], "jwks");
    assert_eq!(line["caller"], "system:serviceaccount:shop:cart pod cart-1 (1-2-3)");
    assert_eq!(line["not_after"], leaf.validity().not_after.timestamp());
    let serial: String = leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line["serial"], serial);
}

#[tokio::test]
async fn serials_are_never_those_of_the_key() {
    let rig = Rig::start().await;
    let (csr, _) = csr(|_| {});
    let mut serials = std::collections::BTreeSet::new();
    let mut connection = rig.client().connect(None).await;
    for _ in 0..8 {
        let answer = connection.create_certificate(request(Some(&rig.token()), &csr)).await.unwrap();
        let (chain, _) = client::split(answer.get_ref());
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        serials.insert(leaf.raw_serial().to_vec());
    }
    assert_eq!(serials.len(), 8);
}

#[tokio::test]
async fn other_keys_that_are_strong_enough() {
    let rig = Rig::start().await;
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let call = request(Some(&rig.token()), &csr_of(&key, |_| {}));
        let (chain, _) = client::split(&rig.client().call(None, call).await.unwrap());
        assert!(rig.believes(&rig.bundles(), &chain));
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let enciphers = leaf.key_usage().unwrap().unwrap().value.key_encipherment();
        assert_eq!(enciphers, algorithm == &rcgen::PKCS_RSA_SHA256);
    }
}

#[tokio::test]
async fn a_part_of_the_process_gets_any_id_of_the_trust_domain() {
    let rig = Rig::start().await;
    let key = KeyPair::generate().unwrap();
    let der = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let ttl = Duration::from_secs(60);
    let chain = rig.issuer.issue(&id(CART), &der, ttl).await.unwrap();
    assert!(rig.believes(&rig.bundles(), &chain));
    for foreign in ["spiffe://partner.test/a", "spiffe://cluster.local"] {
        let error = rig.issuer.issue(&id(foreign), &der, ttl).await.unwrap_err();
        assert!(matches!(error, IssueError::Refused(_)), "{error}");
    }
    let long = Duration::from_secs(25 * 3600);
    assert!(matches!(rig.issuer.issue(&id(CART), &der, long).await, Err(IssueError::Refused(_))));
    assert!(matches!(rig.issuer.issue(&id(CART), &der, Duration::ZERO).await, Err(IssueError::Refused(_))));
    assert!(matches!(rig.issuer.issue(&id(CART), b"x", ttl).await, Err(IssueError::Refused(_))));
}

#[tokio::test]
async fn the_issuers_own_certificate_is_renewed_by_itself() {
    let rig = Rig::start().await;
    let issued = rig.issuer.status().issued;
    rig.pass(Duration::from_secs(1900));
    rig.until("a renewal", |status| status.issued > issued).await;
    // Past the end of the first one, a connection still works.
    rig.pass(Duration::from_secs(1800));
    rig.cart().await;
}

#[tokio::test]
async fn with_the_last_handle_the_sockets_close() {
    let rig = Rig::start().await;
    let address = rig.issuer.addresses().istio_ca.unwrap();
    let socket = rig.issuer.addresses().workload_api.clone().unwrap();
    let clone = rig.issuer.clone();
    drop(rig.issuer);
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
    drop(clone);
    let closed = async {
        while tokio::net::TcpListener::bind(address).await.is_err() || socket.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
}
