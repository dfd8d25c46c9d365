//! Revocation lists: unknown is allowed, listed is refused.

use super::*;
use crate::bundle::TrustBundle;
use crate::verify::Revocations;
use rustls::pki_types::CertificateRevocationListDer;

fn with_lists(
    chain: &[CertificateDer<'_>],
    bundles: &TrustBundles,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<Verified, VerifyError> {
    let trust = Trust::new(bundles, Revocations::read(lists).unwrap());
    trust.verify(chain, Role::Client, PeerProfile::SpiffeStrict, today())
}

#[test]
fn a_listed_leaf_is_refused_and_others_are_not() {
    let ca = ca();
    let (good, bad) = (ca.issue(ID), ca.issue(ID));
    let list = [ca.revoke(&[&bad.chain()[0]])];
    assert!(with_lists(good.chain(), &ca.bundles(), &list).is_ok());
    let error = with_lists(bad.chain(), &ca.bundles(), &list).unwrap_err();
    assert_eq!(
        error,
        VerifyError::Revoked { serial: bad.serial().to_owned(), issuer: "CN=td.example root".to_owned() }
    );
}

#[test]
fn a_listed_intermediate_takes_its_leaves_with_it() {
    let ca = ca();
    let (good, bad) = (ca.intermediate(), ca.intermediate());
    let list = [ca.revoke(&[&bad.intermediates()[0]])];
    assert!(with_lists(good.issue(ID).chain(), &ca.bundles(), &list).is_ok());
    let error = with_lists(bad.issue(ID).chain(), &ca.bundles(), &list).unwrap_err();
    assert!(matches!(error, VerifyError::Revoked { .. }), "{error}");
}

/// An intermediate's list is checked with its key at the handshake, as no bundle has it.
#[test]
fn an_intermediate_lists_its_own_leaves() {
    let ca = ca();
    let intermediate = ca.intermediate();
    let (good, bad) = (intermediate.issue(ID), intermediate.issue(ID));
    let list = [intermediate.revoke(&[&bad.chain()[0]])];
    assert!(with_lists(good.chain(), &ca.bundles(), &list).is_ok());
    assert!(matches!(with_lists(bad.chain(), &ca.bundles(), &list), Err(VerifyError::Revoked { .. })));
}

/// Two roots of one name, as Istio's are in a rotation: each one's list counts for its own leaves only, and neither
/// stands in the other's way.
#[test]
fn roots_of_one_name_have_lists_of_their_own() {
    let (old, new) = (ca(), ca());
    let x509 = vec![old.root().clone(), new.root().clone()];
    let bundles =
        TrustBundles::of(old.trust_domain().clone(), TrustBundle { x509, ..TrustBundle::default() });
    let (by_old, by_new) = (old.issue(ID), new.issue(ID));
    // The old root lists a leaf of the new one: not its own to revoke.
    let lists = [old.revoke(&[&by_old.chain()[0], &by_new.chain()[0]]), new.revoke(&[])];
    assert!(matches!(with_lists(by_old.chain(), &bundles, &lists), Err(VerifyError::Revoked { .. })));
    assert!(with_lists(by_new.chain(), &bundles, &lists).is_ok());
}

#[test]
fn a_broken_list_is_an_error() {
    let error = Revocations::read(&[vec![0x30, 0].into()]).unwrap_err();
    assert_eq!(error.position, 1);
}

#[test]
fn lists_are_read_from_pem() {
    let ca = ca();
    let pem = crate::pem::encode("X509 CRL", &ca.revoke(&[]));
    assert_eq!(crate::revocation_lists(&format!("{pem}{pem}")).unwrap().len(), 2);
    assert_eq!(crate::revocation_lists("").unwrap(), []);
    assert!(crate::revocation_lists("-----BEGIN X509 CRL-----\nä\n-----END X509 CRL-----").is_err());
}
