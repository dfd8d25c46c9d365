//! One message of the Workload API, read.

use std::sync::Arc;

use model::PeerProfile;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use spiffe::TrustDomain;
use tracing::warn;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::super::revoked;
use crate::bundle::{BundleError, TrustBundle, TrustBundles};
use crate::dial::chain_of;
use crate::id::{IdError, WorkloadId};
use crate::proto::workload::{X509svid, X509svidResponse};
use crate::svid::{SvidError, X509Svid};
use crate::verify::CrlError;

/// What a message says.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) svid: X509Svid,
    pub(super) bundles: TrustBundles,
    /// Lists, or what is wrong with them.
    pub(super) crls: Result<Vec<CertificateRevocationListDer<'static>>, CrlError>,
}

/// Why a message is discarded. What was before stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// SPIFFE Workload API §5.2.1: a field that must not be empty.
    #[error("the message has no {0}")]
    Empty(&'static str),
    /// None of the SVIDs is ours.
    #[error("the message has no SVID of {expected}, only of {}", found.join(", "))]
    NotAmong {
        /// Whom we are.
        expected: WorkloadId,
        /// Whom there are.
        found: Vec<String>,
    },
    /// A SPIFFE ID that is none.
    #[error("{0:?} is no SPIFFE ID of a workload")]
    Id(String, #[source] IdError),
    /// X32: the certificate says another.
    #[error("the certificate is of {found}, the message says {said}")]
    OtherId {
        /// In the message.
        said: WorkloadId,
        /// In the certificate.
        found: WorkloadId,
    },
    /// Not certificates.
    #[error("the {0} cannot be read")]
    Der(&'static str),
    /// X32.
    #[error("the SVID cannot be used")]
    Svid(#[from] SvidError),
    /// Roots that are none.
    #[error("the bundle cannot be used")]
    Bundle(#[from] BundleError),
    /// The lists of before stay; the rest of the message is taken.
    #[error("the revocation lists of before stay")]
    Crl(#[source] CrlError),
}

/// Reads a message. Of several SVIDs the expected one is ours, else the first.
pub(super) fn read(
    message: X509svidResponse,
    expected: Option<&WorkloadId>,
    profile: PeerProfile,
) -> Result<Update, MessageError> {
    if message.svids.is_empty() {
        return Err(MessageError::Empty("SVID"));
    }
    for svid in &message.svids {
        check_fields(svid)?;
    }
    let ours = choose(&message.svids, expected)?;
    let said = WorkloadId::parse_spiffe(&ours.spiffe_id)
        .map_err(|error| MessageError::Id(ours.spiffe_id.clone(), error))?;
    let chain = certificates(&ours.x509_svid).ok_or(MessageError::Der("certificates"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(ours.x509_svid_key.clone()));
    let svid = X509Svid::new(chain, key, profile)?;
    if *svid.id() != said {
        return Err(MessageError::OtherId { said, found: svid.id().clone() });
    }
    let crls: Vec<_> = message.crl.iter().cloned().map(CertificateRevocationListDer::from).collect();
    let crls = revoked::check(&crls).map(|()| crls);
    let bundles = bundles(&message, ours, &said)?;
    Ok(Update { svid, bundles, crls })
}

fn check_fields(svid: &X509svid) -> Result<(), MessageError> {
    let fields = [
        ("SPIFFE ID", svid.spiffe_id.is_empty()),
        ("certificates", svid.x509_svid.is_empty()),
        ("private key", svid.x509_svid_key.is_empty()),
        ("bundle", svid.bundle.is_empty()),
    ];
    match fields.into_iter().find(|(_, empty)| *empty) {
        Some((field, _)) => Err(MessageError::Empty(field)),
        None => Ok(()),
    }
}

fn choose<'a>(svids: &'a [X509svid], expected: Option<&WorkloadId>) -> Result<&'a X509svid, MessageError> {
    let Some(expected) = expected else {
        return svids.first().ok_or(MessageError::Empty("SVID"));
    };
    svids.iter().find(|svid| svid.spiffe_id == expected.as_str()).ok_or_else(|| MessageError::NotAmong {
        expected: expected.clone(),
        found: svids.iter().map(|svid| svid.spiffe_id.clone()).collect(),
    })
}

/// Our own trust domain's bundle must be good. Another's that is not is left out: nobody of it is believed then.
fn bundles(
    message: &X509svidResponse,
    ours: &X509svid,
    id: &WorkloadId,
) -> Result<TrustBundles, MessageError> {
    let mut all = TrustBundles::default();
    let own = id.trust_domain().ok_or(MessageError::Empty("trust domain"))?;
    all.0.insert(own.clone(), Arc::new(bundle(&ours.bundle)?));
    let others = message.svids.iter().map(|svid| (svid.spiffe_id.as_str(), svid.bundle.as_slice()));
    let federated = message.federated_bundles.iter().map(|(name, roots)| (name.as_str(), roots.as_slice()));
    for (name, roots) in others.chain(federated) {
        let Ok(trust_domain) = TrustDomain::new(name) else {
            warn!(name, "Bundle of no trust domain left out");
            continue;
        };
        // The first that speaks of a trust domain is heard; bundles are never merged.
        if all.0.contains_key(&trust_domain) {
            continue;
        }
        match bundle(roots) {
            Ok(bundle) => {
                all.0.insert(trust_domain, Arc::new(bundle));
            }
            Err(error) => {
                warn!(%trust_domain, error = chain_of(&error), "Bundle left out");
            }
        }
    }
    Ok(all)
}

fn bundle(der: &[u8]) -> Result<TrustBundle, MessageError> {
    let roots = certificates(der).ok_or(MessageError::Der("bundle"))?;
    Ok(TrustBundle::from_roots(roots)?)
}

/// Certificates, one after the other. None is an answer too: an empty bundle believes nobody.
fn certificates(der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    let mut rest = der;
    while !rest.is_empty() {
        if found.len() == MOST {
            return None;
        }
        let (after, _) = X509Certificate::from_der(rest).ok()?;
        let (one, after) = rest.split_at_checked(rest.len() - after.len())?;
        found.push(CertificateDer::from(one.to_vec()));
        rest = after;
    }
    Some(found)
}

/// Certificates of one chain or bundle.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestCa;

    #[test]
    fn certificates_are_told_apart_and_counted() {
        let root = TestCa::new("td.example").root().to_vec();
        assert_eq!(certificates(&[]).unwrap().len(), 0);
        assert_eq!(certificates(&root.repeat(3)).unwrap(), vec![CertificateDer::from(root.clone()); 3]);
        assert!(certificates(&[root.as_slice(), b"\x30"].concat()).is_none());
        assert!(certificates(&root.repeat(MOST)).is_some());
        assert!(certificates(&root.repeat(MOST + 1)).is_none());
    }

    proptest! {
        #[test]
        fn no_message_panics(
            spiffe_id in ".{0,60}", x509_svid in any::<Vec<u8>>(), x509_svid_key in any::<Vec<u8>>(),
            bundle in any::<Vec<u8>>(), crl in any::<Vec<Vec<u8>>>(), name in ".{0,40}",
        ) {
            let svid = X509svid { spiffe_id, x509_svid, x509_svid_key, bundle: bundle.clone(), hint: String::new() };
            let federated_bundles = BTreeMap::from([(name, bundle)]);
            let message = X509svidResponse { svids: vec![svid], crl, federated_bundles };
            prop_assert!(read(message, None, PeerProfile::SpiffeStrict).is_err());
        }
    }
}
