//! SVIDs: what is taken, what is not, what is shown of them.

use model::PeerProfile;

use super::{SvidError, X509Svid};
use crate::pem::PemError;
use crate::testing::TestCa;
use crate::verify::VerifyError;

const ID: &str = "spiffe://td.example/ns/a/sa/b";

#[test]
fn chain_and_key_come_back_as_pem() {
    let svid = TestCa::new("td.example").intermediate().issue(ID);
    let again =
        X509Svid::from_pem(&svid.chain_pem(), svid.key_pem().expose(), PeerProfile::SpiffeStrict).unwrap();
    assert_eq!(svid, again);
    assert_eq!(svid.chain().len(), 2);
    assert_eq!(svid.id().as_str(), ID);
    assert!(svid.issuer().contains("intermediate"), "{}", svid.issuer());
    assert_eq!(svid.serial().split(':').count(), svid.serial().len().div_ceil(3));
}

/// X32: another's key.
#[test]
fn a_foreign_key_is_refused() {
    let ca = TestCa::new("td.example");
    let (one, other) = (ca.issue_with(ID, |_| {}), ca.issue_with(ID, |_| {}));
    let error = X509Svid::new(one.chain, other.key_der(), PeerProfile::SpiffeStrict).unwrap_err();
    assert_eq!(error, SvidError::Pem(PemError::KeyMismatch));
}

#[test]
fn a_leaf_that_breaks_a_rule_is_refused() {
    let issued = TestCa::new("td.example").issue_with("spiffe://td.example", |_| {});
    let error = X509Svid::new(issued.chain.clone(), issued.key_der(), PeerProfile::SpiffeStrict).unwrap_err();
    assert!(matches!(error, SvidError::Leaf(VerifyError::BadId { .. })), "{error}");
    let error = X509Svid::new(Vec::new(), issued.key_der(), PeerProfile::SpiffeStrict).unwrap_err();
    assert_eq!(error, SvidError::Pem(PemError::NoCertificate));
}
