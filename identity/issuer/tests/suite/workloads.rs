//! The Workload API on its socket, as a workload sees it.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use identity::proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use identity::proto::workload::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509svidRequest,
    X509svidResponse,
};
use identity::testing::TestCa;
use identity::{Issue, TrustBundle, TrustDomain, X509Svid};
use issuer::{Configuration, Overlap, Registration, Selectors};
use model::{BootstrapBundle, FederatedDomain, Origin, PeerProfile};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

use crate::rig::{Rig, id, ourselves, registered, trust_domain};

const REPORTS: &str = "spiffe://cluster.local/ns/vm/sa/reports";
const OTHER: &str = "spiffe://cluster.local/ns/vm/sa/other";

async fn connect(rig: &Rig) -> SpiffeWorkloadApiClient<Channel> {
    let path = rig.issuer.addresses().workload_api.clone().unwrap();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://workload.test").connect_with_connector(connector).await;
    SpiffeWorkloadApiClient::new(channel.unwrap())
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

fn reports() -> Registration {
    Registration::new(id(REPORTS), ourselves())
}

async fn next(stream: &mut Streaming<X509svidResponse>) -> X509svidResponse {
    let message = tokio::time::timeout(Duration::from_secs(30), stream.message()).await;
    message.expect("a message").unwrap().unwrap()
}

/// The SVID as a client takes it: the chain, split, with its key, and every rule checked.
fn svid(message: &X509svidResponse, place: usize) -> X509Svid {
    let found = &message.svids[place];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(found.x509_svid_key.clone()));
    let chain = vec![CertificateDer::from(found.x509_svid.clone())];
    let svid = X509Svid::new(chain, key, PeerProfile::SpiffeStrict).unwrap();
    assert_eq!(svid.id().as_str(), found.spiffe_id);
    svid
}

#[tokio::test]
async fn a_registered_process_gets_its_svid_and_every_change_of_it() {
    let rig = Rig::start().await;
    rig.issuer.configure(registered([("reports", reports())]));
    let mut api = connect(&rig).await;
    let mut stream = api.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert_eq!(first.svids.len(), 1);
    let first_svid = svid(&first, 0);
    assert_eq!(first_svid.id().as_str(), REPORTS);
    assert_eq!(first.svids[0].bundle, rig.roots()[0].to_vec());
    // A second registration, with a hint: the first SVID is the same.
    let mut second = Registration::new(id(OTHER), ourselves());
    second.hint = "internal".to_owned();
    rig.issuer.configure(registered([("reports", reports()), ("zzz", second)]));
    let message = next(&mut stream).await;
    assert_eq!(message.svids.len(), 2);
    assert_eq!(message.svids[0], first.svids[0]);
    assert_eq!((message.svids[1].hint.as_str(), message.svids[1].spiffe_id.as_str()), ("internal", OTHER));
    // A new root: the bundle changes, the SVID does not.
    rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    let message = next(&mut stream).await;
    assert_eq!(message.svids[0].x509_svid, first.svids[0].x509_svid);
    assert!(message.svids[0].bundle.len() > first.svids[0].bundle.len());
    // Half of its life later: a new one.
    rig.pass(Duration::from_secs(1900));
    let mut message = next(&mut stream).await;
    while message.svids[0].x509_svid == first.svids[0].x509_svid {
        message = next(&mut stream).await;
    }
    assert_ne!(svid(&message, 0).serial(), first_svid.serial());
    // The registrations are taken away: the stream ends with what the standard wants.
    rig.issuer.configure(registered([]));
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn without_the_header_nothing_is_answered() {
    let rig = Rig::start().await;
    rig.issuer.configure(registered([("reports", reports())]));
    let mut api = connect(&rig).await;
    for value in [None, Some("TRUE"), Some("1"), Some("")] {
        let mut request = Request::new(X509svidRequest {});
        if let Some(value) = value {
            request.metadata_mut().insert("workload.spiffe.io", value.parse().unwrap());
        }
        let status = api.fetch_x509svid(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{value:?}");
    }
    let status = api.fetch_x509_bundles(Request::new(X509BundlesRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = api.fetch_jwt_bundles(Request::new(JwtBundlesRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = api.fetch_jwtsvid(Request::new(JwtsvidRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = api.validate_jwtsvid(Request::new(ValidateJwtsvidRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(rig.log.last_reason(), "no-header");
}

#[tokio::test]
async fn whom_no_registration_matches_gets_nothing_from_any_call() {
    let rig = Rig::start().await;
    let uid = ourselves().uid.unwrap();
    let none = [
        Selectors::default(),
        Selectors { uid: Some(uid + 1), ..ourselves() },
        Selectors { path: Some("/usr/bin/reports".into()), ..ourselves() },
        Selectors { pod_uid: Some("11112222-3333-4444-5555-666677778888".to_owned()), ..ourselves() },
        Selectors { gid: Some(4_000_000), ..ourselves() },
    ];
    let mut api = connect(&rig).await;
    for selectors in none {
        let registration = Registration::new(id(REPORTS), selectors);
        rig.issuer.configure(registered([("reports", registration)]));
        let issued = rig.issuer.status().issued;
        let status = api.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(rig.issuer.status().issued, issued);
    }
    let denied = Code::PermissionDenied;
    let bundles = api.fetch_x509_bundles(with_header(X509BundlesRequest {})).await;
    assert_eq!(bundles.unwrap_err().code(), denied);
    assert_eq!(api.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap_err().code(), denied);
    let request = JwtsvidRequest { audience: vec!["a".to_owned()], spiffe_id: String::new() };
    assert_eq!(api.fetch_jwtsvid(with_header(request)).await.unwrap_err().code(), denied);
    let request = ValidateJwtsvidRequest { audience: "a".to_owned(), svid: "x".to_owned() };
    assert_eq!(api.validate_jwtsvid(with_header(request)).await.unwrap_err().code(), denied);
    assert_eq!(rig.log.last_reason(), "no-registration");
    // A registration of another trust domain is not ours to serve.
    let foreign = Registration::new(id("spiffe://partner.test/a"), ourselves());
    rig.issuer.configure(registered([("foreign", foreign)]));
    assert_eq!(api.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err().code(), denied);
}

#[tokio::test]
async fn jwt_svids_are_issued_and_validated() {
    let rig = Rig::start().await;
    let other = Registration::new(id(OTHER), ourselves());
    rig.issuer.configure(registered([("other", other), ("reports", reports())]));
    let mut api = connect(&rig).await;
    let ask = |audience: &[&str], id: &str| {
        let audience = audience.iter().map(|text| (*text).to_owned()).collect();
        with_header(JwtsvidRequest { audience, spiffe_id: id.to_owned() })
    };
    let all = api.fetch_jwtsvid(ask(&["db", "cache"], "")).await.unwrap().into_inner().svids;
    assert_eq!(all.len(), 2);
    let one = api.fetch_jwtsvid(ask(&["db"], REPORTS)).await.unwrap().into_inner().svids;
    assert_eq!((one.len(), one[0].spiffe_id.as_str()), (1, REPORTS));
    let svid = identity::verify_jwt_svid(&one[0].svid, "db", &rig.bundles(), rig.clock.now()).unwrap();
    assert_eq!(svid.id.as_str(), REPORTS);
    for (audience, id, code) in [
        (vec![], "", Code::InvalidArgument),
        (vec![""], "", Code::InvalidArgument),
        (vec!["db"], "spiffe://cluster.local/ns/shop/sa/admin", Code::PermissionDenied),
    ] {
        assert_eq!(api.fetch_jwtsvid(ask(&audience, id)).await.unwrap_err().code(), code);
    }
    let check = |audience: &str, token: &str| {
        with_header(ValidateJwtsvidRequest { audience: audience.to_owned(), svid: token.to_owned() })
    };
    let valid = api.validate_jwtsvid(check("db", &one[0].svid)).await.unwrap().into_inner();
    assert_eq!(valid.spiffe_id, REPORTS);
    assert!(valid.claims.unwrap().fields.contains_key("exp"));
    for (audience, token) in
        [("other", one[0].svid.as_str()), ("db", "a.b.c"), ("", &one[0].svid), ("db", "")]
    {
        let status = api.validate_jwtsvid(check(audience, token)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{audience} {token}");
    }
    rig.pass(Duration::from_secs(301));
    let status = api.validate_jwtsvid(check("db", &one[0].svid)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!rig.log.text().contains(&one[0].svid), "a bearer token is in the log");
}

fn partner(ca: &TestCa, name: &str) -> Arc<FederatedDomain> {
    Arc::new(FederatedDomain {
        origin: Origin::new("FederatedTrustDomain", "", name),
        endpoint: None,
        bootstrap: Some(BootstrapBundle::Pem(ca.anchors())),
    })
}

#[tokio::test]
async fn federated_bundles_go_to_those_who_may_have_them_and_are_withdrawn() {
    let rig = Rig::start().await;
    let (one, two) = (TestCa::new("one.test"), TestCa::new("two.test"));
    let mut some = reports();
    some.federates_with = Some(vec![TrustDomain::new("one.test").unwrap()]);
    let configure = |registration: &Registration, domains: &[(&str, &TestCa)]| {
        let federated = domains.iter().map(|(name, ca)| ((*name).into(), partner(ca, name))).collect();
        let configuration = registered([("reports", registration.clone())]);
        rig.issuer.configure(Configuration { federated, ..configuration });
    };
    configure(&reports(), &[("one.test", &one), ("two.test", &two)]);
    let mut bundles = rig.issuer.bundles();
    bundles.wait_for(|bundles| bundles.0.len() == 3).await.unwrap();
    let mut api = connect(&rig).await;
    let mut stream = api.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    let message = next(&mut stream).await;
    let names: Vec<_> = message.federated_bundles.keys().cloned().collect();
    assert_eq!(names, ["spiffe://one.test", "spiffe://two.test"], "by default, everybody's");
    assert_eq!(message.federated_bundles["spiffe://one.test"], one.root().to_vec());
    configure(&some, &[("one.test", &one), ("two.test", &two)]);
    let message = next(&mut stream).await;
    let names: Vec<_> = message.federated_bundles.keys().cloned().collect();
    assert_eq!(names, ["spiffe://one.test"]);
    configure(&some, &[]);
    let message = next(&mut stream).await;
    assert!(message.federated_bundles.is_empty(), "withdrawn at once");
}

#[tokio::test]
async fn bundles_alone_are_streamed_too() {
    let rig = Rig::start().await;
    rig.issuer.configure(registered([("reports", reports())]));
    let mut api = connect(&rig).await;
    let mut x509 = api.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
    let mut jwt = api.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap().into_inner();
    let message = x509.message().await.unwrap().unwrap();
    assert_eq!(message.bundles["spiffe://cluster.local"], rig.roots()[0].to_vec());
    let message = jwt.message().await.unwrap().unwrap();
    let bundle = TrustBundle::from_document(&message.bundles["spiffe://cluster.local"]).unwrap();
    assert_eq!((bundle.x509.len(), bundle.jwt.len()), (0, 1));
    rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    let message = x509.message().await.unwrap().unwrap();
    let own = rig.bundles().0.get(&trust_domain()).unwrap().x509.concat_all();
    assert_eq!(message.bundles["spiffe://cluster.local"], own);
}

trait ConcatAll {
    fn concat_all(&self) -> Vec<u8>;
}

impl ConcatAll for Vec<CertificateDer<'static>> {
    fn concat_all(&self) -> Vec<u8> {
        self.iter().flat_map(|der| der.iter().copied()).collect()
    }
}

#[tokio::test]
async fn a_socket_that_is_served_is_not_taken_and_a_stale_one_is() {
    let rig = Rig::start().await;
    let path = rig.issuer.addresses().workload_api.clone().unwrap();
    let mut settings = issuer::IssuerSettings::new(trust_domain());
    settings.workload_api = Some(path.clone());
    let error = issuer::Issuer::start(settings.clone()).await.unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    let stale = rig.path("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    settings.workload_api = Some(stale);
    issuer::Issuer::start(settings.clone()).await.unwrap();
    let file = rig.path("file");
    std::fs::write(&file, "precious").unwrap();
    settings.workload_api = Some(file.clone());
    assert!(issuer::Issuer::start(settings).await.unwrap_err().to_string().contains("no socket"));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}

#[tokio::test]
async fn closed_streams_are_forgotten() {
    let rig = Rig::start().await;
    rig.issuer.configure(registered([("reports", reports())]));
    let mut api = connect(&rig).await;
    let mut stream = api.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    next(&mut stream).await;
    let open = |number: usize| rig.issuer.metrics_text().contains(&format!("workload_streams {number}\n"));
    assert!(open(1), "{}", rig.issuer.metrics_text());
    drop(stream);
    drop(api);
    let closed = async {
        while !open(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
}
