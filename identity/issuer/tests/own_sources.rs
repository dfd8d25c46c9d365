//! The project's own sources of identities as callers of the issuer, over its sockets and in its process.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::federation::follow;
use identity::{
    Clock, Identity, IdentityStatus, Issue, Running, SourceContext, SpiffeId, TrustBundles, TrustDomain,
};
use issuer::{
    BundleServer, BundleSettings, Configuration, Issuer, IssuerSettings, Overlap, Registration, Selectors,
};
use model::{
    BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, GatewayIdentity, IdentityName,
    IdentitySource, IstioCa, Origin, PeerProfile, RootsFrom, TrustAnchors,
};
use tempfile::TempDir;
use tokio::sync::watch;

const ID: &str = "spiffe://cluster.local/ns/edge/sa/gw";
const TTL: Duration = Duration::from_secs(3600);
/// How long a loaded machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn trust_domain() -> TrustDomain {
    TrustDomain::new("cluster.local").unwrap()
}

/// An issuer that serves everything on loopback, and a registration for this very process.
async fn issuer(temp: &TempDir) -> Issuer {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut settings = IssuerSettings::new(trust_domain());
    settings.dns_names = vec!["localhost".to_owned()];
    settings.istio_ca = Some(any);
    settings.workload_api = Some(temp.path().join("api.sock"));
    settings.bundle = Some(BundleSettings { address: any, profile: BundleServer::Spiffe });
    let issuer = Issuer::start(settings).await.unwrap();
    let selectors = Selectors { path: std::env::current_exe().ok(), ..Selectors::default() };
    let registration = Registration::new(SpiffeId::new(ID).unwrap(), selectors);
    let registrations = BTreeMap::from([(Arc::from("edge/gw"), registration)]);
    issuer.configure(Configuration { registrations, federated: BTreeMap::new() });
    issuer
}

fn start(issuer: &Issuer, source: IdentitySource) -> (Identity, Running) {
    let spec = GatewayIdentity {
        trust_domain: "cluster.local".into(),
        spiffe_id: Some(ID.into()),
        profile: PeerProfile::SpiffeStrict,
        source,
    };
    let context = SourceContext { issuer: Some(Arc::new(issuer.clone())), ..SourceContext::default() };
    identity::start(&IdentityName::new("edge/gw"), &spec, context)
}

/// Waits until the status is as wanted; every change of the material is looked at.
async fn until(identity: &Identity, wanted: impl Fn(&IdentityStatus) -> bool) -> IdentityStatus {
    let mut changed = identity.changed();
    let waiting = async {
        loop {
            let status = identity.status();
            if wanted(&status) {
                return status;
            }
            changed.changed().await.unwrap();
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(status) => status,
        Err(_) => panic!("it never came to be: {:#?}", identity.status()),
    }
}

fn roots(status: &IdentityStatus) -> usize {
    status.bundles.get("cluster.local").map_or(0, |bundle| bundle.roots)
}

fn own_bundle(issuer: &Issuer) -> Arc<identity::TrustBundle> {
    let bundles: watch::Receiver<TrustBundles> = issuer.bundles();
    let own = bundles.borrow().0.get(&trust_domain()).cloned();
    own.unwrap()
}

fn istio_ca(issuer: &Issuer, token: &Path) -> IdentitySource {
    let port = issuer.addresses().istio_ca.unwrap().port();
    IdentitySource::IstioCa(IstioCa {
        address: format!("localhost:{port}").into(),
        roots: RootsFrom::Pem(TrustAnchors(own_bundle(issuer).to_pem().into())),
        token: token.to_str().unwrap().into(),
        cluster_id: "Kubernetes".into(),
        ttl: TTL,
        crl: None,
    })
}

#[tokio::test]
async fn by_the_istio_protocol_a_token_is_good_once_and_the_certificate_renews() {
    let temp = tempfile::tempdir().unwrap();
    let issuer = issuer(&temp).await;
    let token = temp.path().join("token");
    let text = issuer.bootstrap_token("edge/gw", TTL).await.unwrap();
    std::fs::write(&token, text.expose()).unwrap();
    let (identity, running) = start(&issuer, istio_ca(&issuer, &token));
    let first = until(&identity, |status| status.ready).await;
    assert_eq!((first.id.as_deref(), first.last_error, roots(&identity.status())), (Some(ID), None, 1));

    // The token is spent now and still in its file.
    running.renew();
    let second = until(&identity, |status| status.generation == 2).await;
    assert_ne!(first.serial, second.serial);
    assert_eq!(second.last_error, None);
    std::fs::remove_file(&token).unwrap();
    running.renew();
    until(&identity, |status| status.generation == 3).await;
}

#[tokio::test]
async fn the_workload_api_and_the_issuer_in_the_process_follow_a_rotation_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let issuer = issuer(&temp).await;
    let socket = format!("unix://{}", temp.path().join("api.sock").display());
    let (remote, _streaming) = start(&issuer, IdentitySource::WorkloadApi { socket: socket.clone().into() });
    let (local, _asking) = start(&issuer, IdentitySource::BuiltIn { ttl: TTL });
    for identity in [&remote, &local] {
        let status = until(identity, |status| status.ready).await;
        assert_eq!((status.id.as_deref(), roots(&status)), (Some(ID), 1));
    }
    // The keys for tokens come by a stream of their own.
    until(&remote, |status| status.bundles["cluster.local"].jwt_keys > 0).await;
    let bundles = remote.material().unwrap().bundles.clone();
    let now = Clock::system().now();
    let own = identity::fetch_jwt_svid(&socket, "partner", None, &bundles, now).await.unwrap();
    assert_eq!(own.svid.id.as_str(), ID);

    issuer.rotate_root(Overlap::Keep).await.unwrap();
    for identity in [&remote, &local] {
        until(identity, |status| roots(status) == 2).await;
    }
    issuer.configure(Configuration::default());
    until(&remote, |status| !status.ready).await;
    assert!(remote.material().is_none(), "who is no longer registered is nobody");
}

#[tokio::test]
async fn the_bundle_endpoint_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let issuer = issuer(&temp).await;
    let server_id: Arc<str> = issuer.status().spiffe_id.into();
    let domain = FederatedDomain {
        origin: Origin::new("FederatedTrustDomain", "", "own"),
        endpoint: Some(BundleEndpoint {
            url: format!("https://{}", issuer.addresses().bundle.unwrap()).into(),
            profile: BundleProfile::HttpsSpiffe { server_id },
        }),
        bootstrap: Some(BootstrapBundle::Pem(TrustAnchors(own_bundle(&issuer).to_pem().into()))),
    };
    let domains = BTreeMap::from([("cluster.local".into(), Arc::new(domain))]);
    let (federation, mut bundles) = follow(&domains, Clock::system());
    let fetched = bundles.wait_for(|bundles| {
        bundles
            .0
            .get(&trust_domain())
            .is_some_and(|bundle| bundle.sequence.is_some() && !bundle.jwt.is_empty())
    });
    let fetched = tokio::time::timeout(PATIENCE, fetched).await;
    assert!(fetched.is_ok(), "{:#?}", federation.status());
}
