//! Issues: X.509-SVIDs for keys of callers or keys of our own, and JWT-SVIDs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::verify::{Role, lint_leaf, verify_chain};
use identity::{Clock, SpiffeId, TrustBundles, TrustDomain};
use model::PeerProfile;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::audit::{self, Who};
use crate::ca::authority::Authority;
use crate::ca::jwt::Claims;
use crate::ca::key::{CaKey as _, KeyError, MemoryKey};
use crate::ca::line::{seconds, unix};
use crate::ca::signer::{BACKDATED, Signer, hex, serial};
use crate::csr::Csr;
use crate::limits::Gates;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::settings::Lives;

/// Where everything that is issued is made.
#[derive(Debug)]
pub(crate) struct Mint {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) authority: Arc<Authority>,
    pub(crate) lives: Lives,
    pub(crate) gates: Gates,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// What is asked for, on whose behalf. The ID is the caller's, proven; nothing in here is the caller's word.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) id: &'a SpiffeId,
    /// DNS names that the caller is granted.
    pub(crate) dns_names: &'a [String],
    /// None: the default.
    pub(crate) ttl: Option<Duration>,
    /// The longest for this caller; none: the issuer's.
    pub(crate) max_ttl: Option<Duration>,
    /// Whether the roots go out with the certificate and in no other way.
    pub(crate) roots_go_along: bool,
}

/// An X.509-SVID.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// Leaf first, without the root.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) not_after: SystemTime,
    /// SHA-256 of the signing certificate.
    pub(crate) signer: Arc<str>,
}

/// The public key to certify.
#[derive(Clone, Debug)]
struct Subject {
    public: SubjectPublicKeyInfo,
    is_rsa: bool,
}

impl Mint {
    /// Issues for the public key of a request.
    ///
    /// # Errors
    /// [`Refusal`], which is also in the audit log.
    pub(crate) async fn issue(&self, who: &Who, order: Order<'_>, csr: &Csr) -> Result<Issued, Refusal> {
        let result = match csr.check_names(order.id, order.dns_names) {
            Ok(()) => {
                self.sign(who, &order, Subject { public: csr.public.clone(), is_rsa: csr.is_rsa }).await
            }
            Err(error) => Err(error.into()),
        };
        self.note(who, X509, order.id, result)
    }

    /// Issues for a key that we make, for a workload that does not make its own. The key is PKCS#8, DER.
    ///
    /// # Errors
    /// As [`Mint::issue`].
    pub(crate) async fn issue_with_key(
        &self,
        who: &Who,
        order: Order<'_>,
    ) -> Result<(Issued, Zeroizing<Vec<u8>>), Refusal> {
        let made = MemoryKey::generate().and_then(|key| Ok((public(&key)?, key.to_der())));
        let result = match made {
            Ok((public, key)) => {
                self.sign(who, &order, Subject { public, is_rsa: false }).await.map(|issued| (issued, key))
            }
            Err(error) => Err(Refusal::Internal(error.to_string())),
        };
        match result {
            Ok((issued, key)) => Ok((self.note(who, X509, order.id, Ok(issued))?, key)),
            Err(refusal) => Err(self.refuse(who, X509, Some(order.id), refusal)),
        }
    }

    /// Issues a JWT-SVID.
    ///
    /// # Errors
    /// As [`Mint::issue`].
    pub(crate) fn issue_jwt(
        &self,
        who: &Who,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<Zeroizing<String>, Refusal> {
        let result = self.sign_jwt(id, audience);
        match result {
            Ok((token, kid, not_after)) => {
                self.metrics.count_issued(JWT, who.method);
                audit::issued(who, JWT, id, "", not_after, &kid);
                Ok(token)
            }
            Err(refusal) => Err(self.refuse(who, JWT, Some(id), refusal)),
        }
    }

    fn sign_jwt(
        &self,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<(Zeroizing<String>, Arc<str>, SystemTime), Refusal> {
        let current = self.authority.current();
        let key = current.jwt.as_ref().ok_or_else(|| Refusal::NotReady("there is no JWT key".to_owned()))?;
        let now = self.clock.now();
        let not_after = now + self.lives.jwt_svid;
        let claims = Claims { sub: &id.to_string(), aud: audience, exp: unix(not_after), iat: unix(now) };
        let token = key.sign(&claims).map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok((Zeroizing::new(token), key.kid.clone(), not_after))
    }

    /// Counts and logs a refusal, and hands it on.
    pub(crate) fn refuse(
        &self,
        who: &Who,
        kind: &'static str,
        id: Option<&SpiffeId>,
        refusal: Refusal,
    ) -> Refusal {
        self.metrics.count_refused(kind, refusal.reason());
        audit::refused(who, kind, id, &refusal);
        refusal
    }

    fn note(
        &self,
        who: &Who,
        kind: &'static str,
        id: &SpiffeId,
        result: Result<(Issued, String), Refusal>,
    ) -> Result<Issued, Refusal> {
        match result {
            Ok((issued, serial)) => {
                self.metrics.count_issued(kind, who.method);
                audit::issued(who, kind, id, &serial, issued.not_after, &issued.signer);
                Ok(issued)
            }
            Err(refusal) => Err(self.refuse(who, kind, Some(id), refusal)),
        }
    }

    /// The life to grant: what was asked for, or nothing.
    ///
    /// # Errors
    /// [`Refusal::TtlTooLong`].
    pub(crate) fn ttl(&self, order: &Order<'_>) -> Result<Duration, Refusal> {
        let max = order.max_ttl.unwrap_or(self.lives.max_svid).min(self.lives.max_svid);
        let ttl = order.ttl.unwrap_or(self.lives.svid.min(max));
        if ttl > max {
            return Err(Refusal::TtlTooLong { asked: ttl.as_secs(), max: max.as_secs() });
        }
        if ttl.as_secs() == 0 {
            return Err(Refusal::invalid("ttl-too-short", "a certificate must live for a second at least"));
        }
        Ok(ttl)
    }

    async fn sign(
        &self,
        _who: &Who,
        order: &Order<'_>,
        subject: Subject,
    ) -> Result<(Issued, String), Refusal> {
        let ttl = self.ttl(order)?;
        if order.id.trust_domain() != &self.trust_domain || order.id.path().is_empty() {
            return Err(Refusal::denied(
                "foreign-trust-domain",
                format!("{} is not ours to issue", order.id),
            ));
        }
        let _place = self.gates.enter().await?;
        let current = self.authority.current().clone();
        let signer =
            current.signer.clone().ok_or_else(|| Refusal::NotReady("nothing can sign".to_owned()))?;
        let now = self.clock.now();
        if signer.not_after() <= now {
            return Err(Refusal::NotReady("the signing certificate has expired".to_owned()));
        }
        // Whole seconds, as X.509 has them; never beyond what stands above.
        let not_after = seconds(unix((now + ttl).min(signer.not_after())));
        if order.roots_go_along {
            self.authority.note_handed_out(not_after);
        }
        let serial = serial().map_err(|error| Refusal::Internal(error.to_string()))?;
        let params = params(order, subject.is_rsa, serial, now, not_after)?;
        let id = order.id.clone();
        let issued = tokio::task::spawn_blocking(move || {
            let chain = make(&signer, &params, &subject.public)?;
            let bundles = TrustBundles([(id.trust_domain().clone(), current.bundle.clone())].into());
            lint(&chain, &bundles, &id, now)?;
            Ok(Issued { chain, not_after, signer: signer.fingerprint().clone() })
        });
        match issued.await {
            Ok(result) => result.map(|issued| (issued, hex(&serial))),
            Err(error) => Err(Refusal::Internal(format!("signing was given up: {error}"))),
        }
    }
}

/// Signs. Leaf first.
fn make(
    signer: &Signer,
    params: &CertificateParams,
    public: &SubjectPublicKeyInfo,
) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let leaf = signer.sign(params, public).map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(std::iter::once(leaf).chain(signer.chain().iter().cloned()).collect())
}

/// Judges what came out as a strict peer with today's bundle would, before anybody sees it.
fn lint(
    chain: &[CertificateDer<'static>],
    bundles: &TrustBundles,
    id: &SpiffeId,
    now: SystemTime,
) -> Result<(), Refusal> {
    let profile = PeerProfile::SpiffeStrict;
    let broken = |error: &dyn std::fmt::Display| {
        Refusal::Internal(format!("the certificate for {id} breaks a rule: {error}"))
    };
    let leaf = chain.first().ok_or_else(|| broken(&"it is missing"))?;
    let found = lint_leaf(leaf, profile).map_err(|error| broken(&error))?;
    if found.as_str() != id.to_string() {
        return Err(broken(&format!("it says {found}")));
    }
    verify_chain(chain, bundles, Role::Any, profile, now).map_err(|error| broken(&error))?;
    Ok(())
}

/// The shape of a leaf (X509-SVID §4): no subject, one critical URI, no CA, both usages.
fn params(
    order: &Order<'_>,
    is_rsa: bool,
    serial: [u8; 16],
    now: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, Refusal> {
    let name = |text: &str| {
        text.try_into().map_err(|_| Refusal::Internal(format!("{text:?} cannot stand in a certificate")))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(serial.to_vec().into());
    params.not_before = (seconds(unix(now)) - BACKDATED).into();
    params.not_after = not_after.into();
    params.subject_alt_names = vec![SanType::URI(name(&order.id.to_string())?)];
    for dns_name in order.dns_names {
        params.subject_alt_names.push(SanType::DnsName(name(dns_name)?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    // RFC 5480 §3 forbids keyEncipherment for elliptic keys; TLS 1.2 with RSA key exchange, which we do not speak,
    // is the only user of it, but Istio's peers may.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if is_rsa {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn public(key: &MemoryKey) -> Result<SubjectPublicKeyInfo, KeyError> {
    SubjectPublicKeyInfo::from_der(key.public()).map_err(|error| KeyError::Unusable(error.to_string()))
}

/// What is counted and logged as X.509-SVID.
pub(crate) const X509: &str = "x509";
/// What is counted and logged as JWT-SVID.
pub(crate) const JWT: &str = "jwt";
