//! Federated trust domains of the configuration, beside a source that brings its own trust domain alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BootstrapBundle, FederatedDomain, IdentityName, Origin, TrustDomainName};

use super::istio_ca::Lab;
use super::{clock, generation};
use crate::source::{SourceContext, start_with};
use crate::testing::TestCa;

fn bootstrap(ca: &TestCa) -> Arc<FederatedDomain> {
    Arc::new(FederatedDomain {
        origin: Origin::new("FederatedTrustDomain", "", "partner"),
        endpoint: None,
        bootstrap: Some(BootstrapBundle::Pem(ca.anchors())),
    })
}

#[tokio::test(start_paused = true)]
async fn they_are_merged_and_never_override_our_own() {
    let lab = Lab::new(clock());
    lab.serve();
    let (partner, evil) = (TestCa::new("partner.example"), TestCa::new("cluster.local"));
    let federated = BTreeMap::from([
        (TrustDomainName::new("partner.example"), bootstrap(&partner)),
        (TrustDomainName::new("cluster.local"), bootstrap(&evil)),
        (TrustDomainName::new("no trust domain"), bootstrap(&evil)),
    ]);
    let context = SourceContext { clock: lab.fake.clock.clone(), federated, ..SourceContext::default() };
    let name = IdentityName::new("edge/gw");
    let (identity, running) = start_with(&name, &lab.spec(), context.clone(), lab.net.dialer());
    let material = generation(&identity, 1).await;
    let roots: BTreeMap<&str, _> =
        material.bundles.0.iter().map(|(name, bundle)| (name.as_str(), bundle.x509.clone())).collect();
    let wanted = BTreeMap::from([
        ("cluster.local", vec![lab.fake.ca().root().clone()]),
        ("partner.example", vec![partner.root().clone()]),
    ]);
    assert_eq!(roots, wanted);
    let status = running.federation().unwrap().status();
    assert!(status["no trust domain"].last_error.as_ref().unwrap().contains("no trust domain"));

    // Gone from the configuration: not believed any more, at once.
    running.update(SourceContext { federated: BTreeMap::new(), ..context });
    let material = generation(&identity, 2).await;
    assert_eq!(material.bundles.0.len(), 1);
}
