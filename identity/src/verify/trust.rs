//! Anchors by trust domain, prebuilt, and the path from a leaf to one of its own domain's anchors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use model::PeerProfile;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use spiffe::TrustDomain;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER;
use x509_parser::prelude::FromDer;

use super::revocation::{self, Revocations};
use super::{Forgiven, Leaf, Role, VerifyError, bounds, issuers, paths};
use crate::bundle::TrustBundles;
use crate::id::WorkloadId;
use crate::tls::provider;

/// Everything that peers are judged by, of one generation.
#[derive(Debug)]
pub(crate) struct Trust {
    domains: BTreeMap<TrustDomain, Domain>,
    revoked: Vec<Revocations>,
}

#[derive(Debug)]
struct Domain {
    anchors: Vec<TrustAnchor<'static>>,
    /// The anchors' names, as DER.
    subjects: Vec<Vec<u8>>,
    /// For the log: name and key identifier of each root.
    roots: String,
}

/// A peer whose chain holds.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) id: WorkloadId,
    pub(crate) not_after: SystemTime,
    pub(crate) forgiven: Vec<Forgiven>,
}

impl Trust {
    /// Prebuilds the anchors of each bundle. A root that webpki cannot use was refused when the bundle was read.
    pub(crate) fn new(bundles: &TrustBundles, mut revoked: Vec<Revocations>) -> Self {
        let mut domains = BTreeMap::new();
        for (trust_domain, bundle) in &bundles.0 {
            let anchors: Vec<_> = bundle
                .x509
                .iter()
                .filter_map(|root| webpki::anchor_from_trusted_cert(root).ok())
                .map(|anchor| anchor.to_owned())
                .collect();
            let subjects: Vec<_> =
                anchors.iter().map(|anchor| revocation::in_sequence(&anchor.subject)).collect();
            for (anchor, subject) in anchors.iter().zip(&subjects) {
                let spki = webpki::spki_for_anchor(anchor);
                revoked.iter_mut().for_each(|list| list.prepare(subject, &spki));
            }
            let roots = bundle.x509.iter().map(described_root).collect::<Vec<_>>().join(", ");
            domains.insert(trust_domain.clone(), Domain { anchors, subjects, roots });
        }
        Self { domains, revoked }
    }

    /// Tries the lists with the issuers in a chain that is known: our own.
    pub(crate) fn prepare(&mut self, chain: &[CertificateDer<'_>]) {
        for certificate in chain {
            if let Ok((_, parsed)) = X509Certificate::from_der(certificate) {
                let (subject, spki) = (parsed.subject().as_raw(), parsed.public_key().raw);
                self.revoked.iter_mut().for_each(|list| list.prepare(subject, spki));
            }
        }
    }

    /// Verifies a chain, leaf first.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        profile: PeerProfile,
        now: SystemTime,
    ) -> Result<Verified, VerifyError> {
        let parsed = bounds::check(chain)?;
        let leaf = Leaf::of(parsed.first().ok_or(VerifyError::NoCertificate)?, profile)?;
        leaf.check_clock(now)?;
        let (trust_domain, domain) = self.domain_of(&leaf.id)?;
        if domain.anchors.is_empty() {
            return Err(VerifyError::EmptyBundle { trust_domain: trust_domain.as_str().into() });
        }
        paths::check(&parsed, &domain.subjects)?;
        let revoked = &self.revoked;
        Attempt { trust_domain, domain, revoked, leaf: &leaf, parsed: &parsed, role, now }
            .find_path(chain)?;
        Ok(Verified { id: leaf.id, not_after: leaf.not_after, forgiven: leaf.forgiven })
    }

    /// The bundle of the peer's own trust domain, and no other. A DNS-like name belongs to the longest trust domain
    /// that it ends with.
    fn domain_of(&self, id: &WorkloadId) -> Result<(&TrustDomain, &Domain), VerifyError> {
        let found = match id.trust_domain() {
            Some(own) => self.domains.get_key_value(own),
            None => self
                .domains
                .iter()
                .filter(|(domain, _)| id.is_below(domain.as_str()))
                .max_by_key(|(domain, _)| domain.as_str().len()),
        };
        found.ok_or_else(|| {
            let known: Vec<_> = self.domains.keys().map(TrustDomain::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            VerifyError::NoBundle { id: id.as_str().into(), known }
        })
    }
}

/// One look for a path.
struct Attempt<'a> {
    trust_domain: &'a TrustDomain,
    domain: &'a Domain,
    revoked: &'a [Revocations],
    leaf: &'a Leaf,
    parsed: &'a [X509Certificate<'a>],
    role: Role,
    now: SystemTime,
}

impl Attempt<'_> {
    fn find_path(&self, chain: &[CertificateDer<'_>]) -> Result<(), VerifyError> {
        let (certificate, intermediates) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
        let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end_entity = EndEntityCert::try_from(certificate)
            .map_err(|error| self.reason(error, certificate, certificate))?;
        // webpki goes on with other paths if this refuses one; the first refusal is the one to report.
        let refused = RefCell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            self.check_path(path).map_err(|error| {
                refused.borrow_mut().get_or_insert(error);
                webpki::Error::UnknownIssuer
            })
        };
        let found = end_entity.verify_for_usage(
            provider().signature_verification_algorithms.all,
            &self.domain.anchors,
            intermediates,
            UnixTime::since_unix_epoch(since),
            Purpose(self.role),
            None,
            Some(&judge),
        );
        let top = intermediates.last().unwrap_or(certificate);
        match found {
            Ok(_) => Ok(()),
            Err(error) => Err(refused.into_inner().unwrap_or_else(|| self.reason(error, certificate, top))),
        }
    }

    fn check_path(&self, path: &VerifiedPath<'_>) -> Result<(), VerifyError> {
        let trust_domain = (!self.leaf.id.is_dns()).then(|| self.trust_domain.as_str());
        for issuer in path.intermediate_certificates() {
            // webpki takes issuers from the chain alone, so it is among those that were parsed.
            let der = issuer.der();
            let parsed = self.parsed.iter().find(|parsed| parsed.as_raw() == &*der);
            issuers::check(parsed.ok_or(VerifyError::TooComplex)?, trust_domain, self.now)?;
        }
        if self.revoked.is_empty() {
            return Ok(());
        }
        let mut certificate: &webpki::Cert<'_> = path.end_entity();
        for issuer in path.intermediate_certificates() {
            revocation::check(self.revoked, certificate, &issuer.subject_public_key_info())?;
            certificate = issuer;
        }
        revocation::check(self.revoked, certificate, &webpki::spki_for_anchor(path.anchor()))
    }

    /// What webpki's word means to the operator. `top` is where the chain that was shown ends.
    fn reason(
        &self,
        error: webpki::Error,
        leaf: &CertificateDer<'_>,
        top: &CertificateDer<'_>,
    ) -> VerifyError {
        use webpki::Error as E;
        let trust_domain = || self.trust_domain.as_str().into();
        let roots = || self.domain.roots.clone();
        match error {
            E::UnknownIssuer if is_self_signed(leaf) => VerifyError::SelfSigned,
            E::UnknownIssuer => VerifyError::UnknownIssuer {
                trust_domain: trust_domain(),
                top: described_issuer(top),
                roots: roots(),
            },
            E::InvalidSignatureForPublicKey => VerifyError::BadSignature {
                trust_domain: trust_domain(),
                top: described_issuer(top),
                roots: roots(),
            },
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | E::SignatureAlgorithmMismatch => VerifyError::UnsupportedAlgorithm,
            E::CertExpired { .. } | E::CertNotValidYet { .. } | E::InvalidCertValidity => {
                VerifyError::IssuerOutsideValidity
            }
            E::CaUsedAsEndEntity => VerifyError::LeafIsCa,
            E::EndEntityUsedAsCa => VerifyError::IssuerNotCa,
            E::PathLenConstraintViolated => VerifyError::PathLength,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => VerifyError::IssuerPurpose,
            E::NameConstraintViolation => VerifyError::NameConstraint,
            E::UnsupportedCriticalExtension => VerifyError::UnknownCriticalExtension,
            E::MaximumPathDepthExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumSignatureChecksExceeded
            | E::MaximumNameConstraintComparisonsExceeded => VerifyError::TooComplex,
            E::BadDer
            | E::BadDerTime
            | E::TrailingData(_)
            | E::ExtensionValueInvalid
            | E::MalformedExtensions
            | E::InvalidSerialNumber
            | E::UnsupportedCertVersion => {
                VerifyError::Malformed { position: 0, detail: format!("{error:?}") }
            }
            error => VerifyError::Other(format!("{error:?}")),
        }
    }
}

/// The extended key usage that the role needs; absent is fine (X17).
struct Purpose(Role);

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, ids: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self.0 {
            Role::Client => KeyUsage::client_auth().validate(ids),
            Role::Server => KeyUsage::server_auth().validate(ids),
            // The leaf's own rules ask for both already.
            Role::Any => Ok(()),
        }
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

fn described_root(root: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(root) else { return "an unreadable root".to_owned() };
    let key = parsed.get_extension_unique(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).ok().flatten();
    let key = match key.map(|extension| extension.parsed_extension()) {
        Some(ParsedExtension::SubjectKeyIdentifier(key)) => Some(key.0),
        _ => None,
    };
    described(&parsed.subject().to_string(), key)
}

fn described_issuer(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return "an unreadable name".to_owned();
    };
    let key = parsed.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER).ok().flatten();
    let key = match key.map(|extension| extension.parsed_extension()) {
        Some(ParsedExtension::AuthorityKeyIdentifier(key)) => key.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    };
    described(&parsed.issuer().to_string(), key)
}

/// A name, quoted and cut as the peer may have written it, and the beginning of its key's identifier.
fn described(name: &str, key: Option<&[u8]>) -> String {
    let name: String = name.chars().take(READABLE).collect();
    match key {
        Some(key) => {
            let key: String = key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{name:?} (key {key})")
        }
        None => format!("{name:?} (key unnamed)"),
    }
}

/// Characters of a name that are logged.
const READABLE: usize = 120;
