//! Certificate authorities and identities for tests (feature `testing`). Keys are made anew; nothing touches the disk.
//!
//! ```text
//! let ca = TestCa::new("cluster.local");
//! let gateway = ca.identity("spiffe://cluster.local/ns/edge/sa/gw");      // an `Identity` with material
//! let svid = ca.issue("spiffe://cluster.local/ns/shop/sa/cart");          // an `X509Svid`
//! let odd = ca.issue_with("spiffe://cluster.local/a", |params| params.key_usages.clear());
//! ```

use std::sync::Arc;
use std::time::SystemTime;

use model::{PeerProfile, Secret, TrustAnchors};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use spiffe::TrustDomain;

use crate::bundle::{TrustBundle, TrustBundles};
use crate::clock::Clock;
use crate::material::{Identity, Publisher};
use crate::pem;
use crate::svid::X509Svid;

/// A certificate authority of one trust domain. What it issues is shaped as X.509-SVID §4 wants it, valid from 2020 to
/// 2100, unless the test changes it.
#[derive(Debug)]
pub struct TestCa {
    trust_domain: TrustDomain,
    root: CertificateDer<'static>,
    /// Between its leaves and the root, nearest first.
    intermediates: Vec<CertificateDer<'static>>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A chain with its key, however odd.
#[derive(Debug)]
pub struct Issued {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: KeyPair,
}

impl TestCa {
    /// A self-signed root.
    pub fn new(trust_domain: &str) -> Self {
        Self::new_with(trust_domain, |_| {})
    }

    /// A self-signed root, changed by the test.
    pub fn new_with(trust_domain: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(&format!("{trust_domain} root"));
        change(&mut params);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect(SIGNS);
        Self {
            trust_domain: TrustDomain::new(trust_domain).expect("the test names a trust domain"),
            root: issuer.der().clone(),
            intermediates: Vec::new(),
            issuer,
        }
    }

    /// A CA below this one.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        self.intermediate_with(|_| {})
    }

    /// A CA below this one, changed by the test.
    #[must_use]
    pub fn intermediate_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let name = format!("{} intermediate {}", self.trust_domain, self.intermediates.len() + 1);
        let mut params = ca_params(&name);
        change(&mut params);
        let issuer = CertifiedIssuer::signed_by(params, key(), &self.issuer).expect(SIGNS);
        let mut intermediates = vec![issuer.der().clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Self { trust_domain: self.trust_domain.clone(), root: self.root.clone(), intermediates, issuer }
    }

    /// Its trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root that its chains end at.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The certificates between its leaves and the root, nearest first.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// For signing by hand.
    pub fn issuer(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.issuer
    }

    /// The root as PEM.
    pub fn anchors(&self) -> TrustAnchors {
        TrustAnchors(pem::encode("CERTIFICATE", &self.root).into())
    }

    /// A bundle of the root.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle { x509: vec![self.root.clone()], ..TrustBundle::default() }
    }

    /// A set of that bundle alone.
    pub fn bundles(&self) -> TrustBundles {
        TrustBundles::of(self.trust_domain.clone(), self.bundle())
    }

    /// An SVID. `id` may be of another trust domain: a lying CA.
    pub fn issue(&self, id: &str) -> X509Svid {
        self.issue_with(id, |_| {}).svid(PeerProfile::SpiffeStrict)
    }

    /// A chain for a SPIFFE ID (or for a DNS name, if there is no `://` in it), changed by the test.
    pub fn issue_with(&self, id: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = leaf_params(id);
        change(&mut params);
        let key = key();
        let leaf = params.signed_by(&key, &self.issuer).expect(SIGNS);
        let mut chain = vec![leaf.der().clone()];
        chain.extend(self.intermediates.iter().cloned());
        Issued { chain, key }
    }

    /// Signs a request (PKCS#10, DER) for an ID, as an issuer does.
    ///
    /// # Errors
    /// The request cannot be read.
    pub fn sign(
        &self,
        csr_der: &[u8],
        id: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Vec<CertificateDer<'static>>, rcgen::Error> {
        let request = rcgen::CertificateSigningRequestParams::from_der(&csr_der.into())?;
        let mut params = leaf_params(id);
        change(&mut params);
        let leaf = params.signed_by(&request.public_key, &self.issuer)?;
        let mut chain = vec![leaf.der().clone()];
        chain.extend(self.intermediates.iter().cloned());
        Ok(chain)
    }

    /// An identity of profile `spiffe-strict` that holds an SVID and this CA's bundle, by the system's clock. (In a test
    /// with paused time, take [`TestCa::identity_by`] and [`Clock::tokio`]: the system's clock never pauses.)
    pub fn identity(&self, id: &str) -> Identity {
        self.identity_by(Clock::system(), id)
    }

    /// The same by another clock.
    pub fn identity_by(&self, clock: Clock, id: &str) -> Identity {
        let (identity, publisher) = Identity::new("test", PeerProfile::SpiffeStrict, clock);
        self.publish(&publisher, id);
        identity
    }

    /// Publishes a new SVID and this CA's bundle.
    pub fn publish(&self, publisher: &Publisher, id: &str) {
        publisher.publish(self.issue(id), self.bundles(), Vec::new()).expect("the CA's own SVID verifies");
    }

    /// A revocation list of this CA's.
    pub fn revoke(&self, certificates: &[&CertificateDer<'_>]) -> CertificateRevocationListDer<'static> {
        let revoked_certs = certificates.iter().map(|certificate| RevokedCertParams {
            serial_number: serial_of(certificate),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect(SIGNS).der().clone()
    }
}

impl Issued {
    /// As an SVID.
    ///
    /// # Panics
    /// The leaf breaks a rule of the profile.
    pub fn svid(&self, profile: PeerProfile) -> X509Svid {
        X509Svid::new(self.chain.clone(), self.key_der(), profile).expect("the test's leaf is an SVID")
    }

    /// The key for rustls.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("rcgen writes PKCS#8")
    }

    /// As PEM, for listeners, Secrets and files.
    pub fn key_pair(&self) -> model::KeyPair {
        let chain: String =
            self.chain.iter().map(|certificate| pem::encode("CERTIFICATE", certificate)).collect();
        model::KeyPair {
            certificate_chain: chain.into(),
            private_key: Secret::new(self.key.serialize_pem().into()),
        }
    }
}

/// What a CA's certificate is made of.
pub fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    in_this_century(params)
}

/// What an SVID's leaf is made of.
pub fn leaf_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = id.try_into().expect("the test's name is ASCII");
    params.subject_alt_names =
        vec![if id.contains("://") { SanType::URI(name) } else { SanType::DnsName(name) }];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    in_this_century(params)
}

fn in_this_century(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    let serial: Vec<u8> = (0..16).map(|_| fastrand::u8(..)).collect();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

/// Life for `params.not_before` and `params.not_after`.
pub fn time(at: SystemTime) -> time::OffsetDateTime {
    at.into()
}

fn key() -> KeyPair {
    KeyPair::generate().expect("aws-lc-rs makes keys")
}

fn serial_of(certificate: &CertificateDer<'_>) -> SerialNumber {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).expect("the test's own certificate");
    SerialNumber::from_slice(parsed.raw_serial())
}

const SIGNS: &str = "rcgen signs what the test made";

/// A trust bundle set of several CAs, one bundle each.
pub fn bundles_of(authorities: &[&TestCa]) -> TrustBundles {
    let bundles = authorities.iter().map(|ca| (ca.trust_domain.clone(), Arc::new(ca.bundle())));
    TrustBundles(bundles.collect())
}
