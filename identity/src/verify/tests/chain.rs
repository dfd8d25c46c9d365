//! X09, X10, X28, X31: whose bundle judges, and what a missing root is called.

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::KeyPair;

use super::*;
use crate::bundle::TrustBundle;
use crate::testing::{bundles_of, leaf_params};
use crate::verify::{peer_facts, verify_chain};

const EVIL: &str = "spiffe://evil.example/ns/shop/sa/cart";

#[test]
fn x09_a_foreign_id_below_our_root_is_refused() {
    let ca = ca();
    let svid = ca.issue(EVIL);
    let error = verify(svid.chain(), &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::NoBundle { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("there is no bundle for the trust domain of {EVIL}; there are bundles for td.example")
    );
    // Also where the other domain has a bundle of its own.
    let evil = TestCa::new("evil.example");
    let error = verify(svid.chain(), &bundles_of(&[&ca, &evil])).unwrap_err();
    assert!(matches!(error, VerifyError::UnknownIssuer { .. }), "{error}");
}

#[test]
fn x10_each_trust_domain_has_its_own_bundle() {
    let (a, b) = (ca(), TestCa::new("b.example"));
    let both = bundles_of(&[&a, &b]);
    assert!(verify(a.issue(ID).chain(), &both).is_ok());
    assert!(verify(b.issue("spiffe://b.example/x").chain(), &both).is_ok());
    // B's name by A's root, A's name by B's.
    assert!(verify(a.issue("spiffe://b.example/x").chain(), &both).is_err());
    assert!(verify(b.issue(ID).chain(), &both).is_err());
    let error = verify(a.issue(ID).chain(), &b.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::NoBundle { .. }), "{error}");
    let error = verify(a.issue(ID).chain(), &TrustBundles::default()).unwrap_err();
    assert!(error.to_string().ends_with("there are bundles for none"), "{error}");
    let empty = TrustBundles::of(a.trust_domain().clone(), TrustBundle::default());
    let error = verify(a.issue(ID).chain(), &empty).unwrap_err();
    assert_eq!(error, VerifyError::EmptyBundle { trust_domain: "td.example".into() });
}

#[test]
fn x28_nothing_or_a_self_signed_leaf_is_refused() {
    let ca = ca();
    assert_eq!(verify(&[], &ca.bundles()).unwrap_err(), VerifyError::NoCertificate);
    let mut params = leaf_params(ID);
    params.distinguished_name.push(rcgen::DnType::CommonName, "self");
    let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(verify(&[leaf.der().clone()], &ca.bundles()).unwrap_err(), VerifyError::SelfSigned);
}

#[test]
fn x31_old_and_new_root_verify_while_both_are_in_the_bundle() {
    let (old, new) = (ca(), ca());
    let (by_old, by_new) = (old.issue(ID), new.intermediate().issue(ID));
    let roots = |roots: &[&TestCa]| {
        let x509 = roots.iter().map(|ca| ca.root().clone()).collect();
        TrustBundles::of(old.trust_domain().clone(), TrustBundle { x509, ..TrustBundle::default() })
    };
    let both = roots(&[&old, &new]);
    assert!(verify(by_old.chain(), &both).is_ok());
    assert!(verify(by_new.chain(), &both).is_ok());
    // Without overlap: the error names the root that is meant and those that are held, which share a name.
    let error = verify(by_old.chain(), &roots(&[&new])).unwrap_err();
    assert!(matches!(error, VerifyError::BadSignature { .. }), "{error}");
    let keys: Vec<_> = error.to_string().matches("\"CN=td.example root\" (key ").map(str::len).collect();
    assert_eq!(keys.len(), 2, "{error}");
    assert!(verify(by_new.chain(), &roots(&[&new])).is_ok());
}

#[test]
fn a_root_of_another_name_is_named_beside_those_that_are_held() {
    let (ca, other) = (ca(), TestCa::new("other.example"));
    let bundles = TrustBundles::of(ca.trust_domain().clone(), other.bundle());
    let error = verify(ca.intermediate().issue(ID).chain(), &bundles).unwrap_err().to_string();
    assert!(error.starts_with("the chain ends below \"CN=td.example root\" (key "), "{error}");
    assert!(error.contains("the bundle of td.example holds \"CN=other.example root\" (key "), "{error}");
}

/// The root may be sent along, and certificates that belong to no path.
#[test]
fn superfluous_certificates_do_no_harm() {
    let ca = ca();
    let mut chain = ca.intermediate().issue(ID).chain().to_vec();
    chain.push(ca.root().clone());
    chain.push(TestCa::new("other.example").root().clone());
    assert!(verify(&chain, &ca.bundles()).is_ok());
}

#[test]
fn a_chain_out_of_order_is_put_in_order() {
    let ca = ca();
    let mut chain = ca.intermediate().intermediate().issue(ID).chain().to_vec();
    chain.swap(1, 2);
    assert!(verify(&chain, &ca.bundles()).is_ok());
}

#[test]
fn facts_of_a_verified_peer_are_those_of_its_leaf() {
    let ca = ca();
    let svid = ca.issue(ID);
    let facts = peer_facts(svid.chain(), PeerProfile::SpiffeStrict).unwrap();
    let verified =
        verify_chain(svid.chain(), &ca.bundles(), Role::Client, PeerProfile::SpiffeStrict, today()).unwrap();
    assert_eq!(facts, verified);
    assert_eq!((facts.id.as_str(), facts.not_after), (ID, svid.not_after()));
    assert_eq!(peer_facts(&[], PeerProfile::SpiffeStrict), None);
    assert_eq!(Arc::strong_count(&facts.chain), 1);
}

/// A chain of three, made once: keys are costly.
fn sample() -> &'static (TrustBundles, Vec<CertificateDer<'static>>) {
    static SAMPLE: LazyLock<(TrustBundles, Vec<CertificateDer<'static>>)> = LazyLock::new(|| {
        let ca = ca();
        (ca.bundles(), ca.intermediate().intermediate().issue(ID).chain().to_vec())
    });
    &SAMPLE
}

proptest! {
    /// Every bit of a chain is signed, or is a signature.
    #[test]
    fn whatever_is_changed_does_not_verify(which in 0_usize..3, at in any::<Index>(), by in 1_u8..=255) {
        let (bundles, chain) = sample();
        prop_assert!(verify(chain, bundles).is_ok());
        let mut chain = chain.clone();
        let mut bytes = chain[which].to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        chain[which] = bytes.into();
        // The reasons may differ: a changed object identifier can make an extended key usage of another extension.
        let trust = Trust::new(bundles, Vec::new());
        for role in [Role::Client, Role::Server, Role::Any] {
            prop_assert!(trust.verify(&chain, role, PeerProfile::SpiffeStrict, today()).is_err());
        }
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(certificates in vec(vec(any::<u8>(), 0..200), 0..9)) {
        let (bundles, _) = sample();
        let chain: Vec<CertificateDer<'_>> = certificates.into_iter().map(CertificateDer::from).collect();
        prop_assert!(verify(&chain, bundles).is_err());
    }
}
