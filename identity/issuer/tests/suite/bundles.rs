//! The bundle endpoint, and federation by it.

use std::sync::Arc;
use std::time::Duration;

use identity::{Issue, TrustBundle, TrustDomain};
use issuer::{BundleServer, Configuration, Overlap};
use model::{BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, Origin};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::rig::{Rig, trust_domain};

pub(crate) async fn ask(rig: &Rig, head: &str) -> String {
    let client = Client {
        address: rig.issuer.addresses().bundle.unwrap(),
        roots: rig.roots(),
        clock: rig.clock.clone(),
    };
    let config = client.tls(None, b"http/1.1");
    let address = rig.issuer.addresses().bundle.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("issuer.test").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
    let text = format!("{head} HTTP/1.1\r\nhost: issuer.test\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whoever closes without a goodbye has said all the same.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_bundle_is_published_and_its_sequence_grows() {
    let rig = Rig::start().await;
    let answer = ask(&rig, "GET /").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let document = answer.split_once("\r\n\r\n").unwrap().1;
    let bundle = TrustBundle::from_document(document.as_bytes()).unwrap();
    let held = rig.bundles().0.get(&trust_domain()).unwrap().clone();
    assert_eq!(bundle, *held);
    assert_eq!((bundle.x509.len(), bundle.jwt.len()), (1, 1));
    assert_eq!(bundle.refresh_hint, Some(Duration::from_secs(300)));
    rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    let answer = ask(&rig, "GET /").await;
    let next = TrustBundle::from_document(answer.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap();
    assert_eq!(next.x509.len(), 2);
    assert!(next.sequence > bundle.sequence);
}

#[tokio::test]
async fn only_a_get_of_the_bundle_is_answered() {
    let rig = Rig::start().await;
    assert!(ask(&rig, "POST /").await.starts_with("HTTP/1.1 405"));
    assert!(ask(&rig, "DELETE /").await.starts_with("HTTP/1.1 405"));
    assert!(ask(&rig, "GET /status").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn https_web_shows_the_certificate_of_its_files() {
    let files = tempfile::tempdir().unwrap();
    let web = rcgen::generate_simple_self_signed(vec!["issuer.test".to_owned()]).unwrap();
    let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
    std::fs::write(&certificate, web.cert.pem()).unwrap();
    std::fs::write(&key, web.signing_key.serialize_pem()).unwrap();
    let rig = Rig::start_with(|settings| {
        settings.bundle.as_mut().unwrap().profile = BundleServer::Web { certificate, key };
    })
    .await;
    let mut client = rig.client();
    client.roots = vec![web.cert.der().clone()];
    let stream = TcpStream::connect(rig.issuer.addresses().bundle.unwrap()).await.unwrap();
    let name = ServerName::try_from("issuer.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(client.tls(None, b"http/1.1"));
    connector.connect(name, stream).await.unwrap();
}

#[tokio::test]
async fn two_issuers_federate_by_https_spiffe() {
    let partner = Rig::start_with(|settings| {
        settings.trust_domain = TrustDomain::new("partner.test").unwrap();
    })
    .await;
    let partner_domain = TrustDomain::new("partner.test").unwrap();
    let bundle = partner.issuer.bundles().borrow().0.get(&partner_domain).unwrap().clone();
    let domain = FederatedDomain {
        origin: Origin::new("FederatedTrustDomain", "", "partner"),
        endpoint: Some(BundleEndpoint {
            url: format!("https://{}", partner.issuer.addresses().bundle.unwrap()).into(),
            profile: BundleProfile::HttpsSpiffe { server_id: "spiffe://partner.test/diolkos/issuer".into() },
        }),
        bootstrap: Some(BootstrapBundle::Document(bundle.to_document().into())),
    };
    partner.issuer.rotate_root(Overlap::Keep).await.unwrap();
    let rig = Rig::start().await;
    let federated = [("partner.test".into(), Arc::new(domain))].into();
    rig.issuer.configure(Configuration { federated, ..Configuration::default() });
    let mut bundles = rig.issuer.bundles();
    let fetched = bundles
        .wait_for(|bundles| bundles.0.get(&partner_domain).is_some_and(|bundle| bundle.x509.len() == 2));
    tokio::time::timeout(Duration::from_secs(30), fetched).await.unwrap().unwrap();
    assert_eq!(rig.issuer.status().federated, ["partner.test"]);
    rig.issuer.configure(Configuration::default());
    let dropped = bundles.wait_for(|bundles| !bundles.0.contains_key(&partner_domain));
    tokio::time::timeout(Duration::from_secs(30), dropped).await.unwrap().unwrap();
}
