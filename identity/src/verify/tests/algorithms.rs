//! X27: signatures and keys that are not taken.

use rcgen::{CertifiedIssuer, KeyPair, RsaKeySize};

use super::forge::replaced;
use super::*;
use crate::bundle::TrustBundle;
use crate::testing::{ca_params, leaf_params};

/// sha256WithRSAEncryption; the last byte says the digest: 4 MD5, 5 SHA-1, 11 SHA-256.
const RSA_SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];

#[test]
fn x27_weak_digests_are_refused() {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let issuer = CertifiedIssuer::self_signed(ca_params("rsa"), key).unwrap();
    let bundle = TrustBundle { x509: vec![issuer.der().clone()], ..TrustBundle::default() };
    let bundles = TrustBundles::of(ca().trust_domain().clone(), bundle);
    let leaf = leaf_params(ID).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    assert!(verify(&[leaf.der().clone()], &bundles).is_ok());
    for digest in [4, 5] {
        let mut weak = RSA_SHA256;
        weak[8] = digest;
        let error = verify(&[replaced(leaf.der(), &RSA_SHA256, &weak)], &bundles).unwrap_err();
        assert_eq!(error, VerifyError::UnsupportedAlgorithm, "{digest}");
    }
}

#[test]
fn x27_an_unknown_curve_is_refused() {
    /// prime256v1, and its neighbour prime239v3.
    const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P239: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x06];
    let ca = ca();
    let chain = ca.issue(ID).chain().to_vec();
    let error = verify(&[replaced(&chain[0], &P256, &P239)], &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::UnacceptableKey { position: 1, .. }), "{error}");
}

#[test]
fn the_usual_keys_are_taken() {
    let ca = ca();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = CertifiedIssuer::signed_by(ca_params("usual"), key, ca.issuer()).unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = leaf_params(ID).signed_by(&key, &issuer).unwrap();
        verify(&[leaf.der().clone(), issuer.der().clone()], &ca.bundles()).unwrap();
    }
}

#[test]
fn a_changed_certificate_does_not_verify() {
    let ca = ca();
    let chain = ca.issue(ID).chain().to_vec();
    let error = verify(&[replaced(&chain[0], b"/sa/cart", b"/sa/root")], &ca.bundles()).unwrap_err();
    assert!(matches!(error, VerifyError::BadSignature { .. }), "{error}");
}
