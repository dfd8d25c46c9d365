//! X26: hostile chains are refused before a signature is looked at.

use rcgen::{CertifiedIssuer, KeyPair, SanType};

use super::forge::{RsaOf, extension};
use super::*;
use crate::testing::{ca_params, leaf_params};

#[test]
fn x26_six_intermediates_are_the_most() {
    let ca = ca();
    let mut issuer = ca.intermediate();
    for _ in 1..6 {
        issuer = issuer.intermediate();
    }
    assert!(verify(issuer.issue(ID).chain(), &ca.bundles()).is_ok());
    let error = verify(issuer.intermediate().issue(ID).chain(), &ca.bundles()).unwrap_err();
    assert_eq!(error, VerifyError::ChainTooLong { count: 8, max: 7 });
}

#[test]
fn x26_large_certificates_are_refused() {
    let error = refusal(|params| params.custom_extensions.push(extension(99, false, vec![0; 65_500])));
    assert!(matches!(error, VerifyError::ChainTooLarge { .. }), "{error}");
}

#[test]
fn x26_hundreds_of_names_are_refused() {
    let add = |params: &mut CertificateParams, count| {
        for index in 0..count {
            let name = format!("{index}.example");
            params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        }
    };
    assert!(leaf(|params| add(params, 99)).is_ok());
    let error = refusal(|params| add(params, 100));
    assert_eq!(error, VerifyError::TooManyNames { position: 1, count: 101, max: 100 });
}

#[test]
fn x26_x27_rsa_keys_too_large_or_too_small_are_refused() {
    let ca = ca();
    let of = |bits| {
        let leaf = leaf_params(ID).signed_by(&RsaOf::bits(bits), ca.issuer()).unwrap();
        verify(&[leaf.der().clone()], &ca.bundles())
    };
    assert!(of(2048).is_ok() && of(4096).is_ok());
    for bits in [1024, 8192] {
        let key = format!("RSA of {bits} bits");
        assert_eq!(of(bits).unwrap_err(), VerifyError::UnacceptableKey { position: 1, key });
    }
    // On an intermediate, too.
    let intermediate = ca_params("large").signed_by(&RsaOf::bits(8192), ca.issuer()).unwrap();
    let mut chain = ca.issue(ID).chain().to_vec();
    chain.push(intermediate.der().clone());
    let error = verify(&chain, &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::UnacceptableKey { position: 2, .. }), "{error}");
}

#[test]
fn x26_issuers_of_one_name_are_refused_by_number() {
    let ca = ca();
    let twins: Vec<_> = (0..6)
        .map(|_| {
            CertifiedIssuer::signed_by(ca_params("twin"), KeyPair::generate().unwrap(), ca.issuer()).unwrap()
        })
        .collect();
    let other = CertifiedIssuer::self_signed(ca_params("twin"), KeyPair::generate().unwrap()).unwrap();
    let leaf = leaf_params(ID).signed_by(&KeyPair::generate().unwrap(), &other).unwrap();
    let mut chain = vec![leaf.der().clone()];
    chain.extend(twins.iter().map(|twin| twin.der().clone()));
    // Six fit; none has signed the leaf.
    let error = verify(&chain, &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::BadSignature { .. }), "{error}");
    let twin = twins[0].der().clone();
    chain.resize(1001, twin);
    let error = verify(&chain, &ca.bundles()).unwrap_err();
    assert_eq!(error, VerifyError::ChainTooLong { count: 1001, max: 7 });
}

/// Every one of them claims to be signed by every other: webpki's budget ends the search.
#[test]
fn x26_a_knot_of_issuers_is_refused_within_the_budget() {
    let ca = ca();
    let mut params = ca_params("knot");
    params.use_authority_key_identifier_extension = false;
    let knot = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
    let leaf = leaf_params(ID).signed_by(&KeyPair::generate().unwrap(), &knot).unwrap();
    let mut chain = vec![leaf.der().clone()];
    for _ in 0..6 {
        chain.push(params.signed_by(&KeyPair::generate().unwrap(), &knot).unwrap().der().clone());
    }
    let error = verify(&chain, &ca.bundles()).unwrap_err();
    assert!(
        matches!(
            error,
            VerifyError::UnknownIssuer { .. } | VerifyError::TooComplex | VerifyError::SelfSigned
        ),
        "{error}"
    );
}

/// All of them have the root's own name: some two thousand paths end at the root, by name.
#[test]
fn x26_a_knot_of_the_roots_name_is_refused_before_a_signature() {
    let ca = ca();
    let params = ca_params("td.example root");
    let forged = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
    let leaf = leaf_params(ID).signed_by(&KeyPair::generate().unwrap(), &forged).unwrap();
    let twin = || params.signed_by(&KeyPair::generate().unwrap(), &forged).unwrap().der().clone();
    let mut chain = vec![leaf.der().clone(), twin(), twin()];
    // Five paths: each is tried.
    let error = verify(&chain, &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::BadSignature { .. }), "{error}");
    chain.extend([twin(), twin(), twin(), twin()]);
    assert_eq!(verify(&chain, &ca.bundles()).unwrap_err(), VerifyError::TooComplex);
}

/// Every honest excess at once: two roots of one name, both sent along behind two intermediates.
#[test]
fn x26_an_honest_rotation_is_not_too_complex() {
    let (old, new) = (ca(), ca());
    let roots = vec![old.root().clone(), new.root().clone()];
    let bundle = crate::bundle::TrustBundle { x509: roots.clone(), ..Default::default() };
    let bundles = TrustBundles::of(old.trust_domain().clone(), bundle);
    let mut chain = new.intermediate().intermediate().issue(ID).chain().to_vec();
    chain.extend(roots);
    assert!(verify(&chain, &bundles).is_ok());
}
