//! X19 to X23: what stands between leaf and root.

use rcgen::{
    BasicConstraints, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::forge::{copied, key_usage, uri_constraint};
use super::*;
use crate::testing::{ca_params, leaf_params, time};

/// What becomes of a leaf below an intermediate that the test changes.
fn below(change: impl FnOnce(&mut CertificateParams)) -> Result<Verified, VerifyError> {
    let ca = ca();
    let chain = ca.intermediate_with(change).issue_with(ID, |_| {}).chain;
    verify(&chain, &ca.bundles())
}

#[test]
fn x19_an_intermediate_that_is_no_ca_is_refused() {
    let error = below(|params| params.is_ca = IsCa::ExplicitNoCa).unwrap_err();
    assert_eq!(error, VerifyError::IssuerNotCa);
    assert_eq!(below(|params| params.is_ca = IsCa::NoCa).unwrap_err(), VerifyError::IssuerNotCa);
}

#[test]
fn x19_path_lengths_are_kept() {
    let constrained =
        |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = ca();
    let top = ca.intermediate_with(constrained);
    assert!(verify(top.issue(ID).chain(), &ca.bundles()).is_ok());
    let error = verify(top.intermediate().issue(ID).chain(), &ca.bundles()).unwrap_err();
    assert_eq!(error, VerifyError::PathLength);
}

#[test]
fn x20_an_intermediate_must_be_allowed_to_sign() {
    let error = below(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]).unwrap_err();
    assert_eq!(error, VerifyError::IssuerMayNotSign);
    // A malformed one: KeyUsage twice.
    let error = below(|params| params.custom_extensions.push(key_usage(true, 0x04))).unwrap_err();
    assert!(matches!(error, VerifyError::Malformed { .. }), "{error}");
}

#[test]
fn x20_a_bad_intermediate_does_not_hide_a_good_one_of_the_same_key() {
    let ca = ca();
    let key = KeyPair::generate().unwrap();
    let mut params = ca_params("twin");
    let good = CertifiedIssuer::signed_by(params.clone(), copied(&key), ca.issuer()).unwrap();
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let bad = params.signed_by(&key, ca.issuer()).unwrap();
    let leaf = leaf_params(ID).signed_by(&KeyPair::generate().unwrap(), &good).unwrap();
    let (leaf, good, bad) = (leaf.der().clone(), good.der().clone(), bad.der().clone());
    assert!(verify(&[leaf.clone(), bad.clone(), good], &ca.bundles()).is_ok());
    assert_eq!(verify(&[leaf, bad], &ca.bundles()).unwrap_err(), VerifyError::IssuerMayNotSign);
}

#[test]
fn x20_an_intermediate_for_one_role_serves_that_role_only() {
    let ca = ca();
    let narrow = ca.intermediate_with(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let svid = narrow.issue(ID);
    let trust = Trust::new(&ca.bundles(), Vec::new());
    let of = |role| trust.verify(svid.chain(), role, PeerProfile::SpiffeStrict, today());
    assert!(of(Role::Client).is_ok());
    assert_eq!(of(Role::Server).unwrap_err(), VerifyError::IssuerPurpose);
}

fn with_uri(uri: &str) -> Result<Verified, VerifyError> {
    below(|params| params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())])
}

#[test]
fn x21_a_workload_cannot_sign() {
    for uri in [ID, "spiffe://td.example/", "SPIFFE://td.example/a"] {
        assert_eq!(with_uri(uri).unwrap_err(), VerifyError::IssuerIsWorkload(uri.to_owned()));
    }
    assert!(with_uri("spiffe://td.example").is_ok());
    assert!(with_uri("https://ca.example/about").is_ok());
}

/// X22 is a MAY, and no mesh of ours needs it: refused.
#[test]
fn x22_a_ca_of_another_trust_domain_cannot_sign() {
    let error = with_uri("spiffe://other.example").unwrap_err();
    assert_eq!(error, VerifyError::IssuerOfOtherTrustDomain("spiffe://other.example".to_owned()));
}

/// A known limit: webpki does not read URI constraints, and refuses whatever stands below one. That is safe, and no
/// issuer of the meshes that are supported writes them.
#[test]
fn x23_uri_name_constraints_refuse_even_what_they_permit() {
    for (which, host) in [(0, "td.example"), (1, "td.example"), (1, "other.example")] {
        let error = below(|params| params.custom_extensions.push(uri_constraint(which, host))).unwrap_err();
        assert_eq!(error, VerifyError::NameConstraint, "{which} {host}");
    }
    // On the root itself, too.
    let ca = TestCa::new_with("td.example", |params| {
        params.custom_extensions.push(uri_constraint(0, "td.example"));
    });
    assert_eq!(verify(ca.issue(ID).chain(), &ca.bundles()).unwrap_err(), VerifyError::NameConstraint);
}

#[test]
fn x18_an_intermediate_outside_its_validity_is_refused() {
    let hour = Duration::from_secs(3600);
    for (from, to) in [
        (today() - hour, today() - Duration::from_secs(1)),
        (today() - hour, today()),
        (today() + hour, today() + 2 * hour),
    ] {
        let error = below(|params| {
            params.not_before = time(from);
            params.not_after = time(to);
        });
        assert_eq!(error.unwrap_err(), VerifyError::IssuerOutsideValidity);
    }
}
