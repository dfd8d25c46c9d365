//! What the profiles `istio` and `linkerd-dns` do otherwise.

use rcgen::{IsCa, SanType};

use super::*;
use crate::testing::bundles_of;

const LINKERD: &str = "cart.shop.serviceaccount.identity.linkerd.cluster.local";

fn of(
    profile: PeerProfile,
    chain: &[CertificateDer<'_>],
    bundles: &TrustBundles,
) -> Result<Verified, VerifyError> {
    Trust::new(bundles, Vec::new()).verify(chain, Role::Server, profile, today())
}

#[test]
fn istio_takes_every_spiffe_id_and_no_dns_name() {
    let ca = ca();
    for id in [ID, "spiffe://td.example/spire/agent"] {
        assert!(of(PeerProfile::Istio, ca.issue(id).chain(), &ca.bundles()).is_ok());
    }
    let chain = ca.issue_with(LINKERD, |_| {}).chain;
    assert_eq!(of(PeerProfile::Istio, &chain, &ca.bundles()).unwrap_err(), VerifyError::NoUri);
}

/// Linkerd's leaves have one DNS name and no BasicConstraints.
#[test]
fn linkerd_takes_one_dns_name() {
    let ca = TestCa::new("cluster.local");
    let chain = ca.issue_with(LINKERD, |params| params.is_ca = IsCa::NoCa).chain;
    let verified = of(PeerProfile::LinkerdDns, &chain, &ca.bundles()).unwrap();
    assert_eq!(verified.id.as_str(), LINKERD);
    assert_eq!(verified.forgiven, [Forgiven::NoBasicConstraints]);
    assert_eq!(
        of(PeerProfile::SpiffeStrict, &chain, &ca.bundles()).unwrap_err(),
        VerifyError::NoBasicConstraints
    );
}

#[test]
fn linkerd_takes_nothing_else() {
    let ca = TestCa::new("cluster.local");
    let add = |name: SanType| {
        let chain = ca.issue_with(LINKERD, |params| params.subject_alt_names.push(name)).chain;
        of(PeerProfile::LinkerdDns, &chain, &ca.bundles()).unwrap_err()
    };
    let error = add(SanType::DnsName("other.cluster.local".try_into().unwrap()));
    assert_eq!(error, VerifyError::NotOneDnsName { dns: 2, uris: 0 });
    let error = add(SanType::URI("spiffe://cluster.local/a".try_into().unwrap()));
    assert_eq!(error, VerifyError::NotOneDnsName { dns: 1, uris: 1 });
    for name in ["*.shop.cluster.local", "CART.cluster.local"] {
        let chain = ca.issue_with(name, |_| {}).chain;
        let error = of(PeerProfile::LinkerdDns, &chain, &ca.bundles()).unwrap_err();
        assert!(matches!(error, VerifyError::BadId { .. }), "{error}");
    }
}

/// The longest trust domain that a name ends with judges it, whatever the others say.
#[test]
fn linkerd_names_belong_to_the_longest_trust_domain() {
    let (outer, inner) = (TestCa::new("local"), TestCa::new("cluster.local"));
    let both = bundles_of(&[&outer, &inner]);
    let by = |ca: &TestCa| of(PeerProfile::LinkerdDns, &ca.issue_with(LINKERD, |_| {}).chain, &both);
    assert!(by(&inner).is_ok());
    assert!(matches!(by(&outer).unwrap_err(), VerifyError::UnknownIssuer { .. }));
    let other = TestCa::new("uster.local");
    let chain = other.issue_with(LINKERD, |_| {}).chain;
    let error = of(PeerProfile::LinkerdDns, &chain, &other.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::NoBundle { .. }), "{error}");
}
