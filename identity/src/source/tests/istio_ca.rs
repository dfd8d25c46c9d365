//! A fake Istio CA, and a CA that works: obtaining, renewing, rotating.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use model::{GatewayIdentity, IdentityName, IdentitySource, IstioCa, PeerProfile, RootsFrom};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::net::{ConnFacts, Net, server_tls};
use super::{clock, failure, generation, until};
use crate::clock::Clock;
use crate::material::Identity;
use crate::pem;
use crate::proto::istio::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use crate::proto::istio::{IstioCertificateRequest, IstioCertificateResponse};
use crate::source::{Running, SourceContext, start_with};
use crate::testing::TestCa;

pub(super) const ADDRESS: &str = "istiod.istio-system.svc:15012";
pub(super) const ID: &str = "spiffe://cluster.local/ns/edge/sa/gw";

/// Makes the parts of an answer from a request (DER).
pub(super) type Answer = Arc<dyn Fn(&FakeCa, &[u8]) -> Vec<String> + Send + Sync>;

/// How the fake behaves.
#[derive(Clone)]
pub(super) enum Mood {
    /// Signs.
    Good,
    /// Signs after so long.
    Slow(Duration),
    /// Never answers.
    Silent,
    /// Answers with a status.
    Status(Code, &'static str),
    /// Accepts nobody by a token.
    NoTokens,
    /// Answers with anything.
    Lie(Answer),
}

/// What a call carried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) authorization: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) validity: i64,
    pub(super) certificate: bool,
}

/// A fake istiod.
#[derive(Clone)]
pub(super) struct FakeCa {
    pub(super) ca: Arc<Mutex<Arc<TestCa>>>,
    pub(super) clock: Clock,
    pub(super) life: Duration,
    pub(super) mood: Arc<Mutex<Mood>>,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeCa {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            ca: Arc::new(Mutex::new(Arc::new(TestCa::new("cluster.local").intermediate()))),
            clock,
            life: Duration::from_secs(3600),
            mood: Arc::new(Mutex::new(Mood::Good)),
            seen: Arc::default(),
        }
    }

    pub(super) fn ca(&self) -> Arc<TestCa> {
        Arc::clone(&self.ca.lock().unwrap())
    }

    pub(super) fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(super) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    pub(super) fn sign(&self, csr: &[u8], id: &str) -> Vec<CertificateDer<'static>> {
        let (from, to) = (self.clock.now() - Duration::from_secs(120), self.clock.now() + self.life);
        self.sign_between(csr, id, from, to)
    }

    pub(super) fn sign_between(
        &self,
        csr: &[u8],
        id: &str,
        from: SystemTime,
        to: SystemTime,
    ) -> Vec<CertificateDer<'static>> {
        let sign = self.ca().sign(csr, id, |params| {
            params.not_before = from.into();
            params.not_after = to.into();
        });
        sign.unwrap()
    }

    pub(super) fn answer(&self, csr: &[u8]) -> Vec<String> {
        let mut chain = self.sign(csr, ID);
        chain.push(self.ca().root().clone());
        texts(&chain)
    }
}

pub(super) fn texts(chain: &[CertificateDer<'_>]) -> Vec<String> {
    chain.iter().map(|certificate| pem::encode("CERTIFICATE", certificate)).collect()
}

#[tonic::async_trait]
impl IstioCertificateService for FakeCa {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let text = |key: &str| request.metadata().get(key).map(|value| value.to_str().unwrap().to_owned());
        let seen = Seen {
            authorization: text("authorization"),
            cluster: text("clusterid"),
            validity: request.get_ref().validity_duration,
            certificate: request.extensions().get::<ConnFacts>().unwrap().certificate,
        };
        self.seen.lock().unwrap().push(seen.clone());
        let (_, csr) = x509_parser::pem::parse_x509_pem(request.get_ref().csr.as_bytes()).unwrap();
        let mood = self.mood.lock().unwrap().clone();
        let cert_chain = match mood {
            Mood::Good => self.answer(&csr.contents),
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                self.answer(&csr.contents)
            }
            Mood::Silent => std::future::pending().await,
            Mood::Status(code, message) => return Err(Status::new(code, message)),
            Mood::NoTokens if seen.authorization.is_some() || !seen.certificate => {
                return Err(Status::unauthenticated("request authenticate failure"));
            }
            Mood::NoTokens => self.answer(&csr.contents),
            Mood::Lie(answer) => answer(self, &csr.contents),
        };
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// A fake istiod behind TLS, and the files that a client needs.
pub(super) struct Lab {
    pub(super) fake: FakeCa,
    pub(super) net: Net,
    pub(super) control: TestCa,
    pub(super) folder: TempDir,
}

impl Lab {
    pub(super) fn new(clock: Clock) -> Self {
        let lab = Self {
            fake: FakeCa::new(clock),
            net: Net::default(),
            control: TestCa::new("istiod.test"),
            folder: tempfile::tempdir().unwrap(),
        };
        lab.write("token", "token-one\n");
        lab.write("root-cert.pem", &lab.control.anchors().0);
        lab
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Swaps a file as a whole.
    pub(super) fn write(&self, name: &str, text: &str) {
        let next = self.path(&format!("{name}.next"));
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
    }

    /// Begins to serve, by a certificate of the control plane's root.
    pub(super) fn serve(&self) {
        self.serve_by(&self.control, "istiod.istio-system.svc");
    }

    pub(super) fn serve_by(&self, control: &TestCa, name: &str) {
        let tls = server_tls(control, name, Some(&self.fake.ca()), &[b"h2"]);
        let service = IstioCertificateServiceServer::new(self.fake.clone());
        self.net.serve(ADDRESS, Some(tls), Server::builder().add_service(service));
    }

    pub(super) fn spec(&self) -> GatewayIdentity {
        let path = |name: &str| Arc::from(self.path(name).to_str().unwrap());
        GatewayIdentity {
            trust_domain: "cluster.local".into(),
            spiffe_id: Some(ID.into()),
            profile: PeerProfile::Istio,
            source: IdentitySource::IstioCa(IstioCa {
                address: ADDRESS.into(),
                roots: RootsFrom::File(path("root-cert.pem")),
                token: path("token"),
                cluster_id: "Kubernetes".into(),
                ttl: Duration::from_secs(86400),
                crl: Some(path("ca-crl.pem")),
            }),
        }
    }

    pub(super) fn start(&self) -> (Identity, Running) {
        let context = SourceContext { clock: self.fake.clock.clone(), ..SourceContext::default() };
        start_with(&IdentityName::new("edge/gw"), &self.spec(), context, self.net.dialer())
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_obtained_and_renewed_at_half_of_its_life() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, _running) = lab.start();
    let first = generation(&identity, 1).await;
    let seen = Seen {
        authorization: Some("Bearer token-one".to_owned()),
        cluster: Some("Kubernetes".to_owned()),
        validity: 86400,
        certificate: false,
    };
    assert_eq!(lab.fake.last(), seen);
    let status = identity.status();
    assert!(status.ready, "{status:?}");
    assert_eq!(status.id.as_deref(), Some(ID));
    assert_eq!(status.source, "Istio CA istiod.istio-system.svc:15012");
    assert_eq!((status.failures, status.last_error), (0, None));
    assert_eq!(status.chain, 2, "leaf and intermediate, no root");
    assert_eq!(status.bundles["cluster.local"].roots, 1);
    let due = status.next_renewal.unwrap().duration_since(super::start_time()).unwrap();
    assert!((1620..=1980).contains(&due.as_secs()), "{due:?}");

    // The kubelet has replaced the token meanwhile.
    lab.write("token", "token-two");
    let second = generation(&identity, 2).await;
    let elapsed = lab.fake.clock.now().duration_since(super::start_time()).unwrap();
    assert!((1620..=1981).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert_eq!(lab.fake.last().authorization.as_deref(), Some("Bearer token-two"));
    assert_ne!(first.svid.key_pem().expose(), second.svid.key_pem().expose(), "a fresh key for each");
}

#[tokio::test(start_paused = true)]
async fn two_second_certificates_are_renewed_every_second() {
    let mut lab = Lab::new(clock());
    lab.fake.life = Duration::from_secs(2);
    lab.serve();
    let (identity, _running) = lab.start();
    until(&identity, |status| {
        assert!(status.generation == 0 || status.ready, "{status:?}");
        status.generation >= 30
    })
    .await;
    let elapsed = lab.fake.clock.now().duration_since(super::start_time()).unwrap();
    // Certificates count whole seconds: some of these live for hardly more than one.
    assert!((15..=33).contains(&elapsed.as_secs()), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_can_be_asked_for() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, running) = lab.start();
    generation(&identity, 1).await;
    running.renew();
    generation(&identity, 2).await;
    let elapsed = lab.fake.clock.now().duration_since(super::start_time()).unwrap();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_comes_back_with_new_roots_is_followed() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, _running) = lab.start();
    let first = generation(&identity, 1).await;

    // istiod restarts with another self-signed root, for itself and for the mesh.
    let control = TestCa::new("istiod.test");
    *lab.fake.ca.lock().unwrap() = Arc::new(TestCa::new("cluster.local"));
    lab.serve_by(&control, "istiod.istio-system.svc");
    lab.write("root-cert.pem", &control.anchors().0);

    // Long before the renewal is due, as the file has changed.
    let second = generation(&identity, 2).await;
    let elapsed = lab.fake.clock.now().duration_since(super::start_time()).unwrap();
    assert!(elapsed < Duration::from_secs(60), "{elapsed:?}");
    let roots = |material: &crate::Material| material.bundles.0.values().next().unwrap().x509.clone();
    assert_eq!(roots(&second), [lab.fake.ca().root().clone()], "a removed root is not believed any longer");
    assert_ne!(roots(&first), roots(&second));
}

#[tokio::test(start_paused = true)]
async fn roots_overlap_where_the_ca_says_so() {
    let lab = Lab::new(clock());
    lab.serve();
    let old = lab.fake.ca();
    let both = {
        let old = Arc::clone(&old);
        Mood::Lie(Arc::new(move |fake, csr| {
            let mut parts = texts(&fake.sign(csr, ID));
            // The last element holds several roots, and one stands among the intermediates.
            parts.push(old.anchors().0.to_string());
            parts.push(format!("{}{}", old.anchors().0, fake.ca().anchors().0));
            parts
        }))
    };
    lab.fake.mood(both);
    *lab.fake.ca.lock().unwrap() = Arc::new(TestCa::new("cluster.local"));
    let (identity, _running) = lab.start();
    let material = generation(&identity, 1).await;
    assert_eq!(material.bundles.0.values().next().unwrap().x509.len(), 2);
    assert_eq!(material.svid.chain().len(), 1, "peers have the root");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_certificate_that_is_held_speaks() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, running) = lab.start();
    generation(&identity, 1).await;

    std::fs::remove_file(lab.path("token")).unwrap();
    running.renew();
    generation(&identity, 2).await;
    assert_eq!((lab.fake.last().authorization, lab.fake.last().certificate), (None, true));

    // A token that is no longer good: asked once with each.
    lab.write("token", "spent");
    lab.fake.mood(Mood::NoTokens);
    let before = lab.fake.calls();
    running.renew();
    generation(&identity, 3).await;
    assert_eq!(lab.fake.calls(), before + 2);
    assert!(lab.fake.last().certificate);
}

#[tokio::test(start_paused = true)]
async fn the_revocation_list_is_followed() {
    let lab = Lab::new(clock());
    let mallory = lab.fake.ca().issue("spiffe://cluster.local/ns/a/sa/mallory");
    let list = |ca: &TestCa| {
        let crl = ca.revoke(&[&mallory.chain()[0]]);
        pem::encode("X509 CRL", &crl)
    };
    lab.serve();
    // Nothing is published while the list that should be there cannot be read.
    lab.write("ca-crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    let (identity, _running) = lab.start();
    let status = failure(&identity, "revocation list").await;
    assert!(!status.ready);

    lab.write("ca-crl.pem", &list(&lab.fake.ca()));
    let material = generation(&identity, 1).await;
    assert_eq!(material.crls.len(), 1);
    let peer = crate::peer_facts(mallory.chain(), PeerProfile::Istio).unwrap();
    let error = identity.verify_again(&peer).unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");

    // Garbage leaves the list of before; an empty file and one that is gone clear it.
    lab.write("ca-crl.pem", "garbage");
    let status = failure(&identity, "X509 CRL").await;
    assert_eq!((status.ready, status.revocation_lists), (true, 1));
    lab.write("ca-crl.pem", "");
    assert!(generation(&identity, 2).await.crls.is_empty());
    assert!(identity.verify_again(&peer).is_ok());
    lab.write("ca-crl.pem", &list(&lab.fake.ca()));
    generation(&identity, 3).await;
    std::fs::remove_file(lab.path("ca-crl.pem")).unwrap();
    assert!(generation(&identity, 4).await.crls.is_empty());
}
