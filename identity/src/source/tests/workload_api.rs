//! A Workload API, faked: A01 to A08, and what else a server may send.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{GatewayIdentity, IdentityName, IdentitySource, PeerProfile};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::net::Net;
use super::{clock, failure, generation, start_time, until};
use crate::clock::Clock;
use crate::material::Identity;
use crate::proto::workload::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use crate::proto::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest,
    X509svidResponse,
};
use crate::source::{Running, SourceContext, start_with};
use crate::testing::TestCa;

pub(super) const SOCKET: &str = "unix:///run/agent.sock";
pub(super) const ID: &str = "spiffe://td.example/gw";

type Sent<T> = Result<T, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Sent<T>> + Send>>;

/// What the fake does with streams: whatever is here is sent to each that opens, then what is sent later.
#[derive(Clone, Default)]
pub(super) struct Fake {
    first: Arc<Mutex<Option<Sent<X509svidResponse>>>>,
    open: Arc<Mutex<Vec<mpsc::UnboundedSender<Sent<X509svidResponse>>>>>,
    jwt: Arc<Mutex<Option<JwtBundlesResponse>>>,
    streams: Arc<Mutex<usize>>,
    pub(super) tokens: Arc<Mutex<Vec<Jwtsvid>>>,
}

impl Fake {
    /// To all streams that are open, and first to those that come.
    fn send(&self, message: Sent<X509svidResponse>) {
        *self.first.lock().unwrap() = Some(message.clone());
        let is_end = message.is_err();
        self.open.lock().unwrap().retain(|stream| stream.send(message.clone()).is_ok() && !is_end);
    }

    fn streams(&self) -> usize {
        *self.streams.lock().unwrap()
    }
}

fn check<T>(request: &Request<T>) -> Result<(), Status> {
    match request.metadata().get("workload.spiffe.io") {
        Some(value) if value == "true" => Ok(()),
        _ => Err(Status::invalid_argument("security header missing from request")),
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Fake {
    type FetchX509SVIDStream = Streamed<X509svidResponse>;
    type FetchX509BundlesStream = Streamed<X509BundlesResponse>;
    type FetchJWTBundlesStream = Streamed<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        *self.streams.lock().unwrap() += 1;
        check(&request)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(first) = self.first.lock().unwrap().clone() {
            sender.send(first).unwrap();
        }
        self.open.lock().unwrap().push(sender);
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        check(&request)?;
        if request.get_ref().audience != ["partner"] {
            return Err(Status::permission_denied("no tokens for that audience"));
        }
        Ok(Response::new(JwtsvidResponse { svids: self.tokens.lock().unwrap().clone() }))
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        check(&request)?;
        let message = self.jwt.lock().unwrap().clone().ok_or_else(|| Status::unimplemented(""))?;
        let stream = tokio_stream::once(Ok(message)).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

pub(super) struct Lab {
    pub(super) ca: TestCa,
    clock: Clock,
    pub(super) fake: Fake,
    pub(super) net: Net,
}

impl Lab {
    pub(super) fn new() -> Self {
        let lab = Self {
            ca: TestCa::new("td.example"),
            clock: clock(),
            fake: Fake::default(),
            net: Net::default(),
        };
        lab.serve();
        lab
    }

    fn serve(&self) {
        let service = SpiffeWorkloadApiServer::new(self.fake.clone());
        self.net.serve(SOCKET, None, Server::builder().add_service(service));
    }

    fn svid(&self, id: &str) -> X509svid {
        let now = self.clock.now();
        let issued = self.ca.issue_with(id, |params| {
            params.not_before = now.into();
            params.not_after = (now + Duration::from_secs(3600)).into();
        });
        X509svid {
            spiffe_id: id.to_owned(),
            x509_svid: issued.chain.iter().flat_map(|certificate| certificate.to_vec()).collect(),
            x509_svid_key: issued.key.serialize_der(),
            bundle: self.ca.root().to_vec(),
            hint: String::new(),
        }
    }

    fn message(&self, federated: &[(&str, &TestCa)]) -> X509svidResponse {
        X509svidResponse {
            svids: vec![self.svid(ID)],
            crl: Vec::new(),
            federated_bundles: federated
                .iter()
                .map(|(name, ca)| ((*name).to_owned(), ca.root().to_vec()))
                .collect(),
        }
    }

    fn start(&self, id: Option<&str>) -> (Identity, Running) {
        let spec = GatewayIdentity {
            trust_domain: "cluster.local".into(),
            spiffe_id: id.map(Into::into),
            profile: PeerProfile::SpiffeStrict,
            source: IdentitySource::WorkloadApi { socket: SOCKET.into() },
        };
        let context = SourceContext { clock: self.clock.clone(), ..SourceContext::default() };
        start_with(&IdentityName::new("edge/gw"), &spec, context, self.net.dialer())
    }
}

fn domains(identity: &Identity) -> Vec<String> {
    identity.status().bundles.keys().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn each_message_is_the_whole_truth() {
    let lab = Lab::new();
    let partner = TestCa::new("partner.example");
    lab.fake.send(Ok(
        lab.message(&[("spiffe://partner.example", &partner), ("b.example", &TestCa::new("b.example"))])
    ));
    let (identity, _running) = lab.start(None);
    let first = generation(&identity, 1).await;
    assert_eq!(first.svid.id().as_str(), ID);
    assert_eq!(identity.status().source, format!("Workload API {SOCKET}"));
    assert_eq!(domains(&identity), ["b.example", "partner.example", "td.example"]);

    // A05: a federated bundle that is left out is not believed any more.
    let mut message = lab.message(&[]);
    message.crl = vec![lab.ca.revoke(&[]).to_vec()];
    lab.fake.send(Ok(message));
    let second = generation(&identity, 2).await;
    assert_eq!(domains(&identity), ["td.example"]);
    assert_ne!(first.svid, second.svid);
    assert_eq!(second.crls.len(), 1);

    // A list that is broken leaves the one before, and the rest of the message counts.
    let mut message = lab.message(&[]);
    message.crl = vec![b"garbage".to_vec()];
    lab.fake.send(Ok(message));
    let third = generation(&identity, 3).await;
    assert_eq!(third.crls, second.crls);
    assert!(failure(&identity, "revocation lists of before stay").await.ready);
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_cannot_be_read_is_left_out_alone() {
    let lab = Lab::new();
    let evil = TestCa::new("td.example");
    let mut message =
        lab.message(&[("partner.example", &TestCa::new("partner.example")), ("td.example", &evil)]);
    message.federated_bundles.insert("broken.example".to_owned(), b"garbage".to_vec());
    message.federated_bundles.insert("no trust domain".to_owned(), Vec::new());
    lab.fake.send(Ok(message));
    let (identity, _running) = lab.start(None);
    let material = generation(&identity, 1).await;
    assert_eq!(domains(&identity), ["partner.example", "td.example"]);
    let own = &material.bundles.0[lab.ca.trust_domain()];
    assert_eq!(own.x509, [lab.ca.root().clone()], "our own is never overridden");
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_believed_are_discarded_as_a_whole() {
    let lab = Lab::new();
    lab.fake.send(Ok(lab.message(&[])));
    let (identity, _running) = lab.start(None);
    let held = generation(&identity, 1).await;
    let change = |change: fn(&mut X509svid)| {
        let mut message = lab.message(&[]);
        change(&mut message.svids[0]);
        message
    };
    let other_key = {
        let mut message = lab.message(&[]);
        message.svids[0].x509_svid_key = lab.svid(ID).x509_svid_key;
        message
    };
    let foreign_bundle = {
        let mut message = lab.message(&[]);
        message.svids[0].bundle = TestCa::new("td.example").root().to_vec();
        message
    };
    let expired = {
        let issued = lab.ca.issue_with(ID, |params| {
            params.not_after = (start_time() - Duration::from_secs(60)).into();
        });
        let mut message = lab.message(&[]);
        message.svids[0].x509_svid = issued.chain[0].to_vec();
        message.svids[0].x509_svid_key = issued.key.serialize_der();
        message
    };
    let cases = [
        (X509svidResponse { svids: Vec::new(), ..lab.message(&[]) }, "the message has no SVID"),
        (change(|svid| svid.spiffe_id.clear()), "the message has no SPIFFE ID"),
        (change(|svid| svid.x509_svid.clear()), "the message has no certificates"),
        (change(|svid| svid.x509_svid_key.clear()), "the message has no private key"),
        (change(|svid| svid.bundle.clear()), "the message has no bundle"),
        (change(|svid| svid.x509_svid.truncate(100)), "the certificates cannot be read"),
        (change(|svid| svid.x509_svid_key.truncate(20)), "the SVID cannot be used"),
        (change(|svid| svid.bundle = b"garbage".to_vec()), "the bundle cannot be read"),
        (change(|svid| svid.spiffe_id = "spiffe://td.example/other".into()), "the certificate is of"),
        (change(|svid| svid.spiffe_id = "spiffe://td.example".into()), "is no SPIFFE ID of a workload"),
        (other_key, "does not belong to the first certificate"),
        (foreign_bundle, "the SVID does not verify"),
        (expired, "the SVID does not verify"),
    ];
    for (message, said) in cases {
        lab.fake.send(Ok(message));
        let status = failure(&identity, said).await;
        assert!(status.ready, "{said}: {status:?}");
        assert_eq!(identity.material().unwrap().svid, held.svid, "{said}");
    }
    assert_eq!(lab.fake.streams(), 1, "the stream goes on");
    lab.fake.send(Ok(lab.message(&[])));
    generation(&identity, 2).await;
}

#[tokio::test(start_paused = true)]
async fn of_several_the_first_is_ours_or_the_one_that_is_expected() {
    let lab = Lab::new();
    let mut message = lab.message(&[]);
    message.svids.push(lab.svid("spiffe://td.example/second"));
    message.svids[0].hint = "same".to_owned();
    message.svids[1].hint = "same".to_owned();
    lab.fake.send(Ok(message));
    let (identity, _running) = lab.start(None);
    assert_eq!(generation(&identity, 1).await.svid.id().as_str(), ID);
    let (identity, _running) = lab.start(Some("spiffe://td.example/second"));
    assert_eq!(generation(&identity, 1).await.svid.id().as_str(), "spiffe://td.example/second");
    let (identity, _running) = lab.start(Some("spiffe://td.example/third"));
    failure(&identity, "no SVID of spiffe://td.example/third, only of spiffe://td.example/gw").await;
}

#[tokio::test(start_paused = true)]
async fn permission_denied_withdraws_and_may_come_back() {
    let lab = Lab::new();
    lab.fake.send(Ok(lab.message(&[])));
    let (identity, _running) = lab.start(None);
    generation(&identity, 1).await;
    lab.fake.send(Err(Status::permission_denied("no identity issued")));
    let status = until(&identity, |status| !status.ready).await;
    assert!(identity.material().is_none(), "{status:?}");
    lab.fake.send(Ok(lab.message(&[])));
    until(&identity, |status| status.ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_withdraws_nothing() {
    let lab = Lab::new();
    lab.fake.send(Ok(lab.message(&[])));
    let (identity, _running) = lab.start(None);
    generation(&identity, 1).await;
    lab.net.refuse(SOCKET);
    lab.fake.open.lock().unwrap().clear();
    let status = failure(&identity, "the source ended the stream").await;
    assert!(status.ready);
    until(&identity, |status| status.failures >= 4).await;
    let status = failure(&identity, "cannot be reached").await;
    assert!(status.ready);
    *lab.fake.first.lock().unwrap() = Some(Ok(lab.message(&[])));
    lab.serve();
    generation(&identity, 2).await;
    assert_eq!(identity.status().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_will_is_asked_seldom() {
    for code in [Code::Unimplemented, Code::InvalidArgument] {
        let lab = Lab::new();
        lab.fake.send(Err(Status::new(code, "no")));
        let (identity, _running) = lab.start(None);
        failure(&identity, "\"no\"").await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(lab.fake.streams(), 1, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_and_asked_again() {
    let lab = Lab::new();
    let (identity, _running) = lab.start(None);
    failure(&identity, "did not answer within 30 s").await;
    lab.fake.send(Ok(lab.message(&[])));
    generation(&identity, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_noticed_before_the_end() {
    let lab = Lab::new();
    lab.fake.send(Ok(lab.message(&[])));
    let (identity, _running) = lab.start(None);
    let held = generation(&identity, 1).await;
    // It rotates for those who ask anew, but has forgotten our stream.
    *lab.fake.first.lock().unwrap() = None;
    let fake = lab.fake.clone();
    failure(&identity, "has not sent a new SVID in time").await;
    *fake.first.lock().unwrap() = Some(Ok(lab.message(&[])));
    generation(&identity, 2).await;
    assert!(lab.clock.now() < held.svid.not_after());
}

#[tokio::test(start_paused = true)]
async fn jwt_keys_come_beside() {
    let lab = Lab::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let key = crate::JwtKey::from_spki("k1", &rcgen::PublicKeyData::subject_public_key_info(&key)).unwrap();
    let document = |keys: Vec<crate::JwtKey>| {
        crate::TrustBundle { jwt: keys, ..crate::TrustBundle::default() }.to_document().into_bytes()
    };
    *lab.fake.jwt.lock().unwrap() = Some(JwtBundlesResponse {
        bundles: BTreeMap::from([
            ("spiffe://td.example".to_owned(), document(vec![key.clone()])),
            ("spiffe://partner.example".to_owned(), document(vec![key])),
            ("spiffe://broken.example".to_owned(), b"{}".to_vec()),
        ]),
    });
    lab.fake.send(Ok(lab.message(&[])));
    let (identity, _running) = lab.start(None);
    let status = until(&identity, |status| {
        status.bundles.get("td.example").is_some_and(|bundle| bundle.jwt_keys == 1)
    })
    .await;
    let partner = status.bundles["partner.example"];
    assert_eq!((partner.roots, partner.jwt_keys), (0, 1), "no root: nobody's certificate is believed");
    assert!(!status.bundles.contains_key("broken.example"));
}
