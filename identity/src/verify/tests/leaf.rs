//! X11 to X18: what a leaf may do, and when.

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::forge::key_usage;
use super::*;
use crate::testing::time;
use crate::verify::lint_leaf;

#[test]
fn x11_a_ca_is_no_leaf() {
    let ca_true = refusal(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(ca_true, VerifyError::LeafIsCa);
    let ca = ca();
    let root = std::slice::from_ref(ca.root());
    assert_eq!(verify(root, &ca.bundles()).unwrap_err(), VerifyError::LeafIsCa);
    let intermediate = ca.intermediate_with(|params| {
        params.subject_alt_names = vec![SanType::URI(ID.try_into().unwrap())];
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
    });
    let chain = intermediate.intermediates();
    assert_eq!(verify(chain, &ca.bundles()).unwrap_err(), VerifyError::LeafIsCa);
}

#[test]
fn x12_a_leaf_that_may_sign_is_refused() {
    let certificates = refusal(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign));
    assert_eq!(certificates, VerifyError::LeafMaySign("certificates"));
    let lists = refusal(|params| params.key_usages.push(KeyUsagePurpose::CrlSign));
    assert_eq!(lists, VerifyError::LeafMaySign("revocation lists"));
}

#[test]
fn x13_key_usage_must_have_digital_signature() {
    assert_eq!(refusal(|params| params.key_usages.clear()), VerifyError::NoKeyUsage);
    let other = refusal(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_eq!(other, VerifyError::NoDigitalSignature);
    let both = leaf(|params| params.key_usages.push(KeyUsagePurpose::KeyEncipherment));
    assert_eq!(both.unwrap(), []);
}

#[test]
fn x14_missing_basic_constraints_are_refused_by_default_and_forgiven_by_profile() {
    assert_eq!(refusal(|params| params.is_ca = IsCa::NoCa), VerifyError::NoBasicConstraints);
    let ca = ca();
    let chain = ca.issue_with(ID, |params| params.is_ca = IsCa::NoCa).chain;
    let trust = Trust::new(&ca.bundles(), Vec::new());
    let verified = trust.verify(&chain, Role::Client, PeerProfile::Istio, today()).unwrap();
    assert_eq!(verified.forgiven, [Forgiven::NoBasicConstraints]);
}

#[test]
fn x15_key_usage_that_is_not_critical_is_forgiven_and_counted_but_never_issued() {
    let change = |params: &mut CertificateParams| {
        params.key_usages.clear();
        params.custom_extensions.push(key_usage(false, 0x80));
    };
    assert_eq!(leaf(change).unwrap(), [Forgiven::KeyUsageNotCritical]);
    let chain = ca().issue_with(ID, change).chain;
    let lint = lint_leaf(&chain[0], PeerProfile::SpiffeStrict).unwrap_err();
    assert_eq!(lint, VerifyError::Lint(Forgiven::KeyUsageNotCritical));
    assert_eq!(lint_leaf(&ca().issue(ID).chain()[0], PeerProfile::SpiffeStrict).unwrap().as_str(), ID);
}

#[test]
fn x16_an_extended_key_usage_with_one_role_only_is_refused() {
    let only = |purpose| refusal(|params| params.extended_key_usages = vec![purpose]);
    assert_eq!(only(ExtendedKeyUsagePurpose::ClientAuth), VerifyError::WrongPurpose("serverAuth"));
    assert_eq!(only(ExtendedKeyUsagePurpose::ServerAuth), VerifyError::WrongPurpose("clientAuth"));
    assert_eq!(only(ExtendedKeyUsagePurpose::CodeSigning), VerifyError::WrongPurpose("serverAuth"));
}

#[test]
fn x17_no_extended_key_usage_is_accepted() {
    assert_eq!(leaf(|params| params.extended_key_usages.clear()).unwrap(), []);
}

#[test]
fn x18_outside_its_validity_a_leaf_is_refused() {
    let hour = Duration::from_secs(3600);
    let valid = |from: SystemTime, to: SystemTime| {
        leaf(|params| {
            params.not_before = time(from);
            params.not_after = time(to);
        })
    };
    assert!(valid(today() - hour, today() + hour).is_ok());
    assert!(valid(today(), today() + hour).is_ok());
    let expired = valid(today() - hour, today() - Duration::from_secs(1)).unwrap_err();
    assert!(matches!(expired, VerifyError::Expired { .. }), "{expired}");
    let early = valid(today() + Duration::from_secs(1), today() + hour).unwrap_err();
    assert!(matches!(early, VerifyError::NotYetValid { .. }), "{early}");
    assert_eq!(valid(today() + hour, today() - hour).unwrap_err(), VerifyError::InvertedValidity);
    // The end itself is outside.
    let now = valid(today() - hour, today()).unwrap_err();
    assert!(matches!(now, VerifyError::Expired { .. }), "{now}");
}
