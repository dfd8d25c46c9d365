//! What a source has gathered in parts (SVID, own bundles, federated bundles, revocation lists), published as one.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest, Sha256};
use tracing::warn;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::bundle::TrustBundles;
use crate::material::{PublishError, Publisher};
use crate::svid::X509Svid;

/// The parts so far. Nothing is published before there is an SVID; then every change of any part is.
#[derive(Debug)]
pub(crate) struct Assembly {
    publisher: Publisher,
    parts: Mutex<Parts>,
}

/// The parts of a [`crate::Material`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parts {
    /// What we show.
    pub(crate) svid: Option<X509Svid>,
    /// Bundles that the source itself brings, the own trust domain's among them.
    pub(crate) own: TrustBundles,
    /// Bundles that the configuration brings.
    pub(crate) federated: TrustBundles,
    /// Who is revoked.
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
}

impl Assembly {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { publisher, parts: Mutex::default() }
    }

    /// For what is no part: failures, times.
    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Changes parts and publishes. If the result is refused, the parts are as before; the refusal is on record then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Parts)) -> Result<(), PublishError> {
        let mut parts = self.lock();
        let mut next = parts.clone();
        change(&mut next);
        self.publish(&mut parts, next)
    }

    /// Takes what came beside an SVID. A refusal is logged and on record already, and the next change tries again. No
    /// change is no success either: an error on record stays.
    pub(crate) fn take(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.lock();
        let mut next = parts.clone();
        change(&mut next);
        if next != *parts {
            let _ = self.publish(&mut parts, next);
        }
    }

    fn publish(&self, parts: &mut Parts, next: Parts) -> Result<(), PublishError> {
        if let Some(svid) = next.svid.clone() {
            self.publisher.publish(svid, next.bundles(), next.crls.clone())?;
            warn_of_broken_overlap(&parts.own, &next.own);
        }
        *parts = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything away: we are nobody any more.
    pub(crate) fn withdraw(&self, reason: &str) {
        self.lock().svid = None;
        self.publisher.withdraw(reason);
    }
}

impl Parts {
    /// All bundles. What the configuration says of a trust domain that the source speaks for is not heard, and least
    /// of all of our own.
    fn bundles(&self) -> TrustBundles {
        let mut all = self.federated.clone();
        if let Some(own) = self.svid.as_ref().and_then(|svid| svid.id().trust_domain()) {
            all.0.remove(own);
        }
        all.0.extend(self.own.0.iter().map(|(name, bundle)| (name.clone(), bundle.clone())));
        all
    }
}

/// Says so if a trust domain's roots were replaced by others altogether. Peers that have not renewed yet refuse us, and
/// we refuse them; keeping the old roots on our side alone would save no connection, as both sides must agree.
fn warn_of_broken_overlap(before: &TrustBundles, after: &TrustBundles) {
    for (name, old) in &before.0 {
        let Some(new) = after.0.get(name) else { continue };
        if let Some((old, new)) = replaced(&old.x509, &new.x509) {
            warn!(
                trust_domain = %name,
                old,
                new,
                "Roots were replaced without overlap: peers that have not renewed yet will fail"
            );
        }
    }
}

fn replaced(old: &[CertificateDer<'static>], new: &[CertificateDer<'static>]) -> Option<(String, String)> {
    let before: BTreeSet<&[u8]> = old.iter().map(AsRef::as_ref).collect();
    let disjoint = !old.is_empty() && !new.is_empty() && !new.iter().any(|root| before.contains(&**root));
    disjoint.then(|| (describe(old), describe(new)))
}

/// Roots for people: subject and the start of the SHA-256 fingerprint.
fn describe(roots: &[CertificateDer<'_>]) -> String {
    let one = |root: &CertificateDer<'_>| {
        let subject = X509Certificate::from_der(root)
            .map_or_else(|_| "unreadable".to_owned(), |(_, parsed)| parsed.subject().to_string());
        let digest = Sha256::digest(root);
        let start: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{subject} (sha256 {start}…)")
    };
    roots.iter().map(one).collect::<Vec<_>>().join(", ")
}
