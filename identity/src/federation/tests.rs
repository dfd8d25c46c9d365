//! Bundle endpoints of both profiles, faked in memory under paused time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{
    BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, Origin, Roots, TrustDomainName,
};
use spiffe::TrustDomain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::bundle::TrustBundle;
use crate::source::tests::net::{Net, server_tls, server_tls_with};
use crate::source::tests::{clock, start_time};
use crate::testing::TestCa;

const NAME: &str = "partner.example";
const SERVER_ID: &str = "spiffe://partner.example/bundle";

/// What an endpoint answers, in turn; the last one again and again. `None`: nothing, ever.
#[derive(Clone)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<Option<String>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    fn new(answers: impl IntoIterator<Item = String>) -> Self {
        let answers = answers.into_iter().map(Some).collect();
        Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default() }
    }

    fn then(&self, answer: Option<String>) {
        *self.answers.lock().unwrap() = VecDeque::from([answer]);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn next(&self) -> Option<String> {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().cloned().unwrap() }
    }

    fn serve(&self, net: &Net, address: &str, tls: Arc<rustls::ServerConfig>) {
        let mut incoming = net.listen(address);
        let endpoint = self.clone();
        tokio::spawn(async move {
            while let Some(stream) = incoming.recv().await {
                let (tls, endpoint) = (TlsAcceptor::from(Arc::clone(&tls)), endpoint.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(stream).await else { return };
                    let mut head = vec![0; 4096];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    endpoint
                        .asked
                        .lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(&head[..length]).into_owned());
                    match endpoint.next() {
                        Some(answer) => {
                            let _ = stream.write_all(answer.as_bytes()).await;
                            let _ = stream.shutdown().await;
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
    }
}

fn ok(document: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}", document.len())
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn document(ca: &TestCa, sequence: u64, hint: u64) -> String {
    let refresh_hint = Some(Duration::from_secs(hint));
    TrustBundle { sequence: Some(sequence), refresh_hint, ..ca.bundle() }.to_document()
}

/// The web's CA, and a network.
struct Lab {
    web: TestCa,
    net: Net,
    federation: Federation,
}

impl Lab {
    fn new() -> Self {
        let (web, net) = (TestCa::new("web.test"), Net::default());
        let federation = Federation::with(clock(), net.dialer(), Roots::Pem(web.anchors()));
        Self { web, net, federation }
    }

    fn web(&self, host: &str) -> Arc<rustls::ServerConfig> {
        server_tls(&self.web, host, None, &[b"http/1.1"])
    }

    fn configure(&self, domains: &[(&str, FederatedDomain)]) {
        let domains = domains
            .iter()
            .map(|(name, domain)| (TrustDomainName::new(*name), Arc::new(domain.clone())))
            .collect();
        self.federation.configure(&domains);
    }

    fn status(&self) -> DomainStatus {
        self.federation.status()[NAME].clone()
    }

    fn held(&self) -> Option<Arc<TrustBundle>> {
        self.federation.bundles().borrow().0.get(&TrustDomain::new(NAME).unwrap()).cloned()
    }

    async fn until(&self, wanted: impl Fn(&DomainStatus) -> bool) -> DomainStatus {
        for _ in 0..100_000 {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("it never came to be: {:#?}", self.status());
    }

    async fn failure(&self, part: &str) -> DomainStatus {
        self.until(|status| status.last_error.as_ref().is_some_and(|error| error.contains(part))).await
    }

    fn elapsed(&self) -> u64 {
        self.federation.context.clock.now().duration_since(start_time()).unwrap().as_secs()
    }
}

fn domain(url: Option<&str>, profile: BundleProfile, bootstrap: Option<&TestCa>) -> FederatedDomain {
    FederatedDomain {
        origin: Origin::new("FederatedTrustDomain", "", "partner"),
        endpoint: url.map(|url| BundleEndpoint { url: url.into(), profile }),
        bootstrap: bootstrap.map(|ca| BootstrapBundle::Document(ca.bundle().to_document().into())),
    }
}

fn web_domain(url: &str, bootstrap: Option<&TestCa>) -> FederatedDomain {
    domain(Some(url), BundleProfile::HttpsWeb, bootstrap)
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_fetched_and_refreshed_as_it_says() {
    let lab = Lab::new();
    let (one, two) = (TestCa::new(NAME), TestCa::new(NAME));
    let endpoint = Endpoint::new([ok(&document(&one, 1, 600)), ok(&document(&two, 2, 1))]);
    endpoint.serve(&lab.net, "partner.example:443", lab.web(NAME));
    lab.configure(&[(NAME, web_domain("https://partner.example/bundle?x=1", None))]);
    let status = lab.until(|status| status.sequence == Some(1)).await;
    assert_eq!(status.origin, "FederatedTrustDomain partner");
    assert_eq!((status.roots, status.failures, status.last_error), (1, 0, None));
    assert!(status.fetched_at.is_some());
    let head = endpoint.asked.lock().unwrap()[0].to_lowercase();
    assert!(
        head.starts_with("get /bundle?x=1 http/1.1\r\n") && head.contains("host: partner.example\r\n"),
        "{head}"
    );

    lab.until(|status| status.sequence == Some(2)).await;
    assert!((540..=602).contains(&lab.elapsed()), "{}", lab.elapsed());
    assert_eq!(lab.held().unwrap().x509, [two.root().clone()]);
    // A hint of one second is taken for sixty.
    lab.until(|_| endpoint.asked() == 4).await;
    assert!((540 + 2 * 54..=602 + 2 * 61).contains(&lab.elapsed()), "{}", lab.elapsed());
}

#[tokio::test(start_paused = true)]
async fn errors_leave_the_last_good_bundle_and_are_said() {
    let lab = Lab::new();
    let ca = TestCa::new(NAME);
    let good = ok(&document(&ca, 5, 60));
    let endpoint = Endpoint::new([good.clone()]);
    endpoint.serve(&lab.net, "partner.example:443", lab.web(NAME));
    lab.configure(&[(NAME, web_domain("https://partner.example/", None))]);
    let held = lab.until(|status| status.sequence == Some(5)).await.fetched_at;
    let large = ok(&"x".repeat((1 << 20) + 1));
    let endless = "HTTP/1.1 200 OK\r\n\r\n{\"keys\":[".to_owned() + &"0,".repeat(1 << 19) + "0]}";
    let cases = [
        (Some("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned()), "answers 503"),
        (Some(ok("{}")), "no member"),
        (Some(ok("not json")), "cannot be read"),
        (Some(ok(&document(&TestCa::new(NAME), 4, 60))), "spiffe_sequence goes back from 5 to 4"),
        (Some(large), "larger than"),
        (Some(endless), "larger than"),
        (Some("SSH-2.0-x\r\n".to_owned()), "does not speak HTTP/1.1"),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned()), "does not speak HTTP/1.1"),
        (None, "did not come within 10 s"),
        (Some(redirect("http://partner.example/")), "only https is allowed"),
        (Some(redirect("https://user:canary@partner.example/")), "it carries credentials"),
        (Some(redirect("//evil.example/")), "cannot be fetched"),
        (Some(redirect("/again")), "redirects too often"),
        (Some("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_owned()), "redirects to nowhere"),
        (Some(redirect("https://nowhere.example/")), "cannot be reached"),
    ];
    for (answer, said) in cases {
        endpoint.then(answer);
        let status = lab.failure(said).await;
        assert_eq!((status.sequence, status.roots, status.fetched_at), (Some(5), 1, held), "{said}");
        assert!(!status.last_error.unwrap().contains("canary"));
        assert_eq!(lab.held().unwrap().x509, [ca.root().clone()], "{said}");
    }
    endpoint.then(Some(good));
    let status = lab.until(|status| status.failures == 0).await;
    assert!(status.fetched_at > held);
    // B08: an empty document revokes everybody.
    endpoint.then(Some(ok("{\"keys\":[],\"spiffe_sequence\":6}")));
    lab.until(|status| status.roots == 0).await;
    assert!(lab.held().unwrap().x509.is_empty());
}

#[tokio::test(start_paused = true)]
async fn redirects_are_followed_and_not_remembered() {
    let lab = Lab::new();
    let ca = TestCa::new(NAME);
    let front = Endpoint::new([redirect("https://cdn.example:8443/b")]);
    let behind = Endpoint::new([ok(&document(&ca, 1, 60))]);
    front.serve(&lab.net, "partner.example:443", lab.web(NAME));
    behind.serve(&lab.net, "cdn.example:8443", lab.web("cdn.example"));
    lab.configure(&[(NAME, web_domain("https://partner.example/", None))]);
    lab.until(|_| behind.asked() == 3).await;
    assert_eq!(front.asked(), 3);
    // The target is verified by its own name.
    behind.serve(&lab.net, "cdn.example:8443", lab.web("evil.example"));
    lab.failure("peer is not trusted").await;
}

#[tokio::test(start_paused = true)]
async fn the_web_profile_verifies_by_web_roots_and_name_alone() {
    let lab = Lab::new();
    let ca = TestCa::new(NAME);
    let endpoint = Endpoint::new([ok(&document(&ca, 1, 60))]);
    // An SVID of the trust domain is nothing to the web.
    let issued = ca.issue_with(SERVER_ID, |_| {});
    endpoint.serve(
        &lab.net,
        "partner.example:443",
        server_tls_with(issued.chain.clone(), issued.key_der(), None, &[]),
    );
    lab.configure(&[(NAME, web_domain("https://partner.example/", Some(&ca)))]);
    let status = lab.failure("peer is not trusted").await;
    assert_eq!(
        (status.roots, status.fetched_at, endpoint.asked()),
        (1, None, 0),
        "the bootstrap bundle serves"
    );
}

#[tokio::test(start_paused = true)]
async fn the_spiffe_profile_begins_with_the_bootstrap_and_goes_on_with_the_latest() {
    let lab = Lab::new();
    let (one, two) = (TestCa::new(NAME), TestCa::new(NAME));
    let tls = |ca: &TestCa, id: &str| {
        let issued = ca.issue_with(id, |_| {});
        server_tls_with(issued.chain.clone(), issued.key_der(), None, &[b"http/1.1"])
    };
    let profile = || BundleProfile::HttpsSpiffe { server_id: SERVER_ID.into() };
    let endpoint = Endpoint::new([ok(&document(&two, 1, 60))]);
    endpoint.serve(&lab.net, "10.0.0.1:8443", tls(&one, SERVER_ID));
    lab.configure(&[(NAME, domain(Some("https://10.0.0.1:8443/"), profile(), Some(&one)))]);
    lab.until(|status| status.sequence == Some(1)).await;
    assert_eq!(lab.held().unwrap().x509, [two.root().clone()]);

    // By the bootstrap bundle no longer; by the latest, yes; by another's ID or the web's roots, never.
    lab.failure("peer is not trusted").await;
    endpoint.then(Some(ok(&document(&two, 2, 60))));
    endpoint.serve(&lab.net, "10.0.0.1:8443", tls(&two, SERVER_ID));
    lab.until(|status| status.sequence == Some(2)).await;
    endpoint.serve(&lab.net, "10.0.0.1:8443", tls(&two, "spiffe://partner.example/other"));
    lab.failure("peer is not trusted").await;
    endpoint.serve(&lab.net, "10.0.0.1:8443", lab.web("10.0.0.1"));
    let failures = lab.status().failures;
    lab.until(|status| status.failures > failures + 1).await;
    assert_eq!(lab.status().sequence, Some(2));

    // A redirect to a server that is somebody else (B12).
    endpoint.serve(&lab.net, "10.0.0.1:8443", tls(&two, SERVER_ID));
    endpoint.then(Some(redirect("https://10.0.0.2/")));
    let evil = Endpoint::new([ok(&document(&TestCa::new(NAME), 9, 60))]);
    evil.serve(&lab.net, "10.0.0.2:443", tls(&two, "spiffe://partner.example/evil"));
    let failures = lab.status().failures;
    lab.until(|status| status.failures > failures + 1).await;
    assert_eq!((lab.status().sequence, evil.asked()), (Some(2), 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_followed_says_why() {
    let lab = Lab::new();
    let profile = |id: &str| BundleProfile::HttpsSpiffe { server_id: id.into() };
    let url = Some("https://10.0.0.1/");
    let cases = [
        (domain(url, profile(SERVER_ID), None), "give a bootstrap bundle"),
        (domain(url, profile("spiffe://partner.example"), None), "SPIFFE ID cannot be used"),
        (web_domain("http://partner.example/", None), "only https is allowed"),
        (web_domain("https://user:pw@partner.example/", None), "it carries credentials"),
    ];
    for (domain, said) in cases {
        lab.configure(&[(NAME, domain)]);
        let status = lab.failure(said).await;
        assert_eq!(status.roots, 0);
    }
    let broken = FederatedDomain {
        bootstrap: Some(BootstrapBundle::Document("{".into())),
        ..domain(None, BundleProfile::HttpsWeb, None)
    };
    lab.configure(&[(NAME, broken)]);
    lab.failure("the bundle cannot be used").await;
    assert!(lab.held().is_none());
}

#[tokio::test(start_paused = true)]
async fn configuration_is_followed_at_once() {
    let lab = Lab::new();
    let (one, two) = (TestCa::new(NAME), TestCa::new(NAME));
    lab.configure(&[(NAME, domain(None, BundleProfile::HttpsWeb, Some(&one)))]);
    assert_eq!(lab.held().unwrap().x509, [one.root().clone()], "before anything is awaited");
    lab.configure(&[(NAME, domain(None, BundleProfile::HttpsWeb, Some(&two)))]);
    assert_eq!(lab.held().unwrap().x509, [two.root().clone()]);
    lab.configure(&[]);
    assert!(lab.held().is_none() && lab.federation.status().is_empty());

    // What was fetched stays while only the place is another, and goes when the bootstrap is.
    let endpoint = Endpoint::new([ok(&document(&two, 1, 600))]);
    endpoint.serve(&lab.net, "partner.example:443", lab.web(NAME));
    lab.configure(&[(NAME, web_domain("https://partner.example/", Some(&one)))]);
    lab.until(|status| status.sequence == Some(1)).await;
    let asked = endpoint.asked();
    lab.configure(&[(NAME, web_domain("https://partner.example/", Some(&one)))]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(endpoint.asked(), asked, "an equal entry goes on untouched");
    lab.configure(&[(NAME, web_domain("https://moved.example/", Some(&one)))]);
    assert_eq!(lab.held().unwrap().x509, [two.root().clone()]);
    lab.configure(&[(NAME, web_domain("https://moved.example/", Some(&two)))]);
    assert_eq!(lab.held().unwrap().sequence, None);
}

#[tokio::test(start_paused = true)]
async fn followers_end_with_the_federation() {
    let lab = Lab::new();
    let endpoint = Endpoint::new([ok(&document(&TestCa::new(NAME), 1, 60))]);
    endpoint.serve(&lab.net, "partner.example:443", lab.web(NAME));
    lab.configure(&[(NAME, web_domain("https://partner.example/", None))]);
    lab.until(|status| status.sequence == Some(1)).await;
    drop(lab);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(endpoint.asked(), 1);
    let (federation, bundles) = follow(&BTreeMap::new(), clock());
    assert!(bundles.borrow().0.is_empty() && federation.status().is_empty());
}
