//! The project's own clients get their identities from the issuer in all three ways, and keep them over a rotation.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use identity::verify::{Role, verify_chain};
use identity::{Identity, Issue, Running, SourceContext};
use issuer::{Overlap, Registration};
use model::{GatewayIdentity, IdentitySource, IstioCa, PeerProfile, RootsFrom, TrustAnchors};

use crate::rig::{CART, Rig, id, ourselves, registered};

/// An identity from a source, with its SVID.
async fn start(rig: &Rig, source: IdentitySource) -> (Identity, Running) {
    let spec = GatewayIdentity {
        trust_domain: crate::rig::TD.into(),
        spiffe_id: Some(CART.into()),
        profile: PeerProfile::Istio,
        source,
    };
    let issuer: std::sync::Arc<dyn Issue> = std::sync::Arc::new(rig.issuer.clone());
    let context = SourceContext {
        issuer: Some(issuer),
        key_pairs: BTreeMap::new(),
        federated: BTreeMap::new(),
        clock: rig.clock.clone(),
    };
    let (identity, running) = identity::start(&"edge".into(), &spec, context);
    wait(&identity, "an SVID", |identity| identity.material().is_some()).await;
    (identity, running)
}

async fn wait(identity: &Identity, what: &str, reached: impl Fn(&Identity) -> bool) {
    let mut changed = identity.changed();
    let waiting = async {
        while !reached(identity) {
            changed.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "{what}: {:#?}", identity.status());
}

fn istio_ca(rig: &Rig) -> IdentitySource {
    std::fs::write(rig.path("token"), rig.token()).unwrap();
    let port = rig.issuer.addresses().istio_ca.unwrap().port();
    let roots = rig.bundles().0.values().next().unwrap().to_pem();
    IdentitySource::IstioCa(IstioCa {
        address: format!("localhost:{port}").into(),
        roots: RootsFrom::Pem(TrustAnchors(roots.into())),
        token: rig.path("token").display().to_string().into(),
        cluster_id: "Kubernetes".into(),
        ttl: Duration::from_secs(3600),
        crl: None,
    })
}

/// Whether each believes the other now, each by what it has itself.
fn believe_each_other(rig: &Rig, all: &[(Identity, Running)]) {
    for (one, _) in all {
        for (other, _) in all {
            let (ours, theirs) = (one.material().unwrap(), other.material().unwrap());
            verify_chain(theirs.svid.chain(), &ours.bundles, Role::Any, PeerProfile::Istio, rig.clock.now())
                .unwrap();
        }
    }
}

#[tokio::test]
async fn in_process_by_the_istio_ca_and_by_the_workload_api() {
    // The clients judge the issuer's own certificate by the system's clock: at every time of the test it holds there.
    let hours_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    let rig = Rig::start_at(hours_ago, |settings| {
        settings.dns_names = vec!["localhost".to_owned()];
        settings.lives.svid = settings.lives.max_svid;
    })
    .await;
    let mut cart = Registration::new(id(CART), ourselves());
    cart.ttl = Some(Duration::from_secs(3600));
    rig.issuer.configure(registered([("cart", cart)]));
    let socket = rig.issuer.addresses().workload_api.clone().unwrap();
    let socket = format!("unix://{}", socket.display()).into();
    let all = [
        start(&rig, IdentitySource::BuiltIn { ttl: Duration::from_secs(3600) }).await,
        start(&rig, istio_ca(&rig)).await,
        start(&rig, IdentitySource::WorkloadApi { socket }).await,
    ];
    believe_each_other(&rig, &all);
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    // Those who are told at once.
    for (identity, _) in [&all[0], &all[2]] {
        wait(identity, "both roots", |identity| {
            identity.material().unwrap().bundles.0.values().any(|bundle| bundle.x509.len() == 2)
        })
        .await;
    }
    believe_each_other(&rig, &all);
    // The one that learns roots when it renews: the new root waits for it, and it does not wait for its token.
    let before: Vec<_> = all.iter().map(|(identity, _)| identity.material().unwrap().generation).collect();
    rig.pass(Duration::from_secs(2000));
    std::fs::write(rig.path("token"), rig.token()).unwrap();
    for ((identity, _), before) in all.iter().zip(before) {
        wait(identity, "a renewal", |identity| identity.material().unwrap().generation > before).await;
    }
    believe_each_other(&rig, &all);
    rig.pass(Duration::from_secs(1601));
    rig.until("activation", |status| status.signing == rotation.new).await;
    believe_each_other(&rig, &all);
}
