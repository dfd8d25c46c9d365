//! Linkerd's identity service, faked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use linkerd2_proxy_api::identity::identity_server::{Identity as Service, IdentityServer};
use linkerd2_proxy_api::identity::{CertifyRequest, CertifyResponse};
use model::{GatewayIdentity, IdentityName, IdentitySource, LinkerdCa, PeerProfile, RootsFrom, TrustAnchors};
use rcgen::IsCa;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::net::{Net, server_tls};
use super::{clock, failure, generation, start_time};
use crate::clock::Clock;
use crate::material::Identity;
use crate::source::{Running, SourceContext, start_with};
use crate::testing::TestCa;

const ADDRESS: &str = "linkerd-identity.linkerd.svc:8080";
const SERVER: &str = "linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local";
const NAME: &str = "gw.edge.serviceaccount.identity.linkerd.cluster.local";

/// Names and tokens.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[derive(Clone)]
struct Fake {
    ca: Arc<TestCa>,
    clock: Clock,
    /// Whom it signs for.
    name: &'static str,
    empty: bool,
    seen: Seen,
}

#[tonic::async_trait]
impl Service for Fake {
    async fn certify(&self, request: Request<CertifyRequest>) -> Result<Response<CertifyResponse>, Status> {
        let request = request.into_inner();
        self.seen.lock().unwrap().push((request.identity, request.token));
        let now = self.clock.now();
        let sign = self.ca.sign(&request.certificate_signing_request, self.name, |params| {
            params.not_before = (now - Duration::from_secs(10)).into();
            params.not_after = (now + Duration::from_secs(1000)).into();
            // Linkerd's leaves have no BasicConstraints.
            params.is_ca = IsCa::NoCa;
        });
        let mut chain = sign.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let leaf_certificate = if self.empty { Vec::new() } else { chain.remove(0).to_vec() };
        Ok(Response::new(CertifyResponse {
            leaf_certificate,
            intermediate_certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
            valid_until: None,
        }))
    }
}

struct Lab {
    root: TestCa,
    fake: Fake,
    net: Net,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let root = TestCa::new("cluster.local");
        let fake = Fake {
            ca: Arc::new(root.intermediate()),
            clock: clock(),
            name: NAME,
            empty: false,
            seen: Arc::default(),
        };
        let lab = Self { root, fake, net: Net::default(), folder: tempfile::tempdir().unwrap() };
        lab.write("token", "linkerd-token");
        lab.write("ca-bundle.crt", &lab.root.anchors().0);
        lab
    }

    fn write(&self, name: &str, text: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.folder.path().join(name)).unwrap();
    }

    fn serve(&self, name: &str) {
        // As Linkerd's proxies: no protocol by ALPN.
        let tls = server_tls(&self.root, name, None, &[]);
        let service = IdentityServer::new(self.fake.clone());
        self.net.serve(ADDRESS, Some(tls), Server::builder().add_service(service));
    }

    fn start(&self, change: impl FnOnce(&mut LinkerdCa)) -> (Identity, Running) {
        let path = |name: &str| Arc::from(self.folder.path().join(name).to_str().unwrap());
        let mut ca = LinkerdCa {
            address: ADDRESS.into(),
            server_name: SERVER.into(),
            name: NAME.into(),
            roots: RootsFrom::File(path("ca-bundle.crt")),
            token: path("token"),
        };
        change(&mut ca);
        let spec = GatewayIdentity {
            trust_domain: "cluster.local".into(),
            spiffe_id: None,
            profile: PeerProfile::LinkerdDns,
            source: IdentitySource::Linkerd(ca),
        };
        let context = SourceContext { clock: self.fake.clock.clone(), ..SourceContext::default() };
        start_with(&IdentityName::new("edge/gw"), &spec, context, self.net.dialer())
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_obtained_and_renewed_at_seventy_percent() {
    let lab = Lab::new();
    lab.serve(SERVER);
    let (identity, _running) = lab.start(|_| {});
    let material = generation(&identity, 1).await;
    assert_eq!(material.svid.id().as_str(), NAME);
    assert_eq!(material.svid.chain().len(), 2);
    let status = identity.status();
    assert_eq!(status.source, format!("Linkerd identity {ADDRESS}"));
    assert_eq!(status.bundles["cluster.local"].roots, 1);
    assert_eq!(lab.fake.seen.lock().unwrap()[0], (NAME.to_owned(), b"linkerd-token".to_vec()));
    generation(&identity, 2).await;
    let elapsed = lab.fake.clock.now().duration_since(start_time()).unwrap().as_secs();
    assert!((680..=721).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn anchors_are_followed_without_a_renewal() {
    let lab = Lab::new();
    lab.serve(SERVER);
    let (identity, _running) = lab.start(|_| {});
    generation(&identity, 1).await;
    let more = TestCa::new("cluster.local");
    lab.write("ca-bundle.crt", &format!("{}{}", lab.root.anchors().0, more.anchors().0));
    let material = generation(&identity, 2).await;
    assert_eq!(material.bundles.0.values().next().unwrap().x509.len(), 2);
    assert_eq!(lab.fake.seen.lock().unwrap().len(), 1, "no renewal for it");
    // Anchors that cannot be used leave those of before.
    lab.write("ca-bundle.crt", "half a bund");
    let status = failure(&identity, "the roots cannot be used").await;
    assert_eq!((status.ready, status.bundles["cluster.local"].roots), (true, 2));
}

#[tokio::test(start_paused = true)]
async fn the_service_must_be_who_it_should_be() {
    let lab = Lab::new();
    lab.serve(NAME);
    let (identity, _running) = lab.start(|_| {});
    failure(&identity, "peer is not trusted").await;
    assert!(lab.fake.seen.lock().unwrap().is_empty(), "no token is shown to it");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_none_are_not_taken() {
    let mut lab = Lab::new();
    lab.fake.name = "other.edge.serviceaccount.identity.linkerd.cluster.local";
    lab.serve(SERVER);
    let (identity, running) = lab.start(|_| {});
    failure(&identity, "not of gw.edge").await;
    lab.fake.name = NAME;
    lab.fake.empty = true;
    lab.serve(SERVER);
    running.renew();
    failure(&identity, "the answer has 0 parts").await;
    assert!(identity.material().is_none());
}

#[tokio::test(start_paused = true)]
async fn public_roots_are_no_anchors_of_a_mesh() {
    let lab = Lab::new();
    lab.serve(SERVER);
    let (identity, _running) = lab.start(|ca| ca.roots = RootsFrom::System);
    failure(&identity, "the roots cannot be used").await;
    let inline = TrustAnchors(lab.root.anchors().0);
    let (identity, _running) = lab.start(|ca| ca.roots = RootsFrom::Pem(inline));
    generation(&identity, 1).await;
}
