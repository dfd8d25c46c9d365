//! The negative table of SPIFFE verification, X01 to X32, each row with generated certificates and the reason that is
//! reported. X30 and the handshakes of X28 and X29 are in `tls/tests/mesh.rs`, X32 in `material/tests.rs`.

mod algorithms;
mod bounds;
mod chain;
mod forge;
mod issuers;
mod leaf;
mod names;
mod profiles;
mod revocation;

use std::time::{Duration, SystemTime};

use model::PeerProfile;
use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;

use super::{Forgiven, Role, Trust, Verified, VerifyError};
use crate::bundle::TrustBundles;
use crate::testing::TestCa;

const ID: &str = "spiffe://td.example/ns/shop/sa/cart";

fn ca() -> TestCa {
    TestCa::new("td.example")
}

/// A day in 2026.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

/// Verifies by profile `spiffe-strict`, for both roles: they must agree.
fn verify(chain: &[CertificateDer<'_>], bundles: &TrustBundles) -> Result<Verified, VerifyError> {
    let trust = Trust::new(bundles, Vec::new());
    let of = |role| trust.verify(chain, role, PeerProfile::SpiffeStrict, today());
    let (client, server) = (of(Role::Client), of(Role::Server));
    assert_eq!(client.as_ref().err(), server.as_ref().err());
    client
}

/// What becomes of a leaf that the test changes, under a good CA.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Result<Vec<Forgiven>, VerifyError> {
    let ca = ca();
    let chain = ca.issue_with(ID, change).chain;
    verify(&chain, &ca.bundles()).map(|verified| verified.forgiven)
}

/// The reason for which a changed leaf is refused.
fn refusal(change: impl FnOnce(&mut CertificateParams)) -> VerifyError {
    leaf(change).unwrap_err()
}
