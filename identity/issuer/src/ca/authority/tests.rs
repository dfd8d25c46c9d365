//! The authority: what is journaled before it shows, JWT keys, CAs from above.

use std::time::SystemTime;

use super::*;
use crate::ca::Phase;
use crate::ca::journal::WriteStep;

fn settings(folder: &std::path::Path, clock: &Clock) -> IssuerSettings {
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.state = Some(folder.to_owned());
    settings.clock = clock.clone();
    settings
}

/// Lets the next write of the journal fail at that step.
async fn fail_at(authority: &Authority, step: Option<WriteStep>) {
    let mut inner = authority.inner.lock().await;
    let mut journal = inner.journal.take().unwrap();
    Arc::get_mut(&mut journal).unwrap().fault = step;
    inner.journal = Some(journal);
}

#[tokio::test]
async fn nothing_shows_before_it_is_on_disk() {
    use WriteStep::*;
    for step in [Create, Write, SyncFile, Rename, SyncFolder, Mark] {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let (clock, hand) = Clock::by_hand(SystemTime::now());
        let settings = settings(&folder, &clock);
        let authority = Authority::start(&settings).await.unwrap();
        let before = authority.current().bundle.clone();
        fail_at(&authority, Some(step)).await;
        authority.rotate(Overlap::Keep).await.unwrap_err();
        assert_eq!(authority.current().bundle, before, "{step:?}");
        authority.rotate(Overlap::Force).await.unwrap_err();
        assert_eq!(authority.current().bundle, before, "{step:?}");
        // As after a crash: what is on disk is read, and goes on.
        drop(authority);
        let authority = Authority::start(&settings).await.unwrap();
        let roots = authority.current().bundle.x509.clone();
        let kept = roots.contains(&before.x509[0]);
        // A forced root that is on disk before the crash is the one that counts.
        assert_eq!(kept, !matches!(step, SyncFolder | Mark), "{step:?}");
        assert!(authority.current().signer.is_some());
        let sequence = authority.current().bundle.sequence;
        assert!(sequence >= before.sequence, "{step:?}");
        hand.advance(Duration::from_secs(1));
        authority.rotate(Overlap::Keep).await.unwrap();
        assert!(authority.current().bundle.sequence > sequence, "{step:?}");
    }
}

#[tokio::test]
async fn jwt_keys_rotate_like_roots() {
    let (clock, hand) = Clock::by_hand(SystemTime::now());
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.clock = clock;
    let authority = Authority::start(&settings).await.unwrap();
    let first = authority.current().keys[0].id.clone();
    hand.advance(Duration::from_secs(16 * 24 * 3600));
    authority.tick().await.unwrap();
    let current = authority.current().clone();
    assert_eq!(current.bundle.jwt.len(), 2, "published, and not yet used");
    assert_eq!(*current.jwt.as_ref().unwrap().kid, *first);
    hand.advance(Duration::from_secs(10 * 24 * 3600));
    authority.tick().await.unwrap();
    let current = authority.current().clone();
    assert_ne!(*current.jwt.as_ref().unwrap().kid, *first);
    assert!(current.keys.iter().any(|key| key.id == first && key.phase == Phase::Superseded));
    hand.advance(Duration::from_secs(6 * 24 * 3600));
    authority.tick().await.unwrap();
    assert!(authority.current().keys.iter().all(|key| key.id != first));
}

#[tokio::test]
async fn a_sequence_grows_even_if_the_clock_goes_back() {
    let (clock, hand) = Clock::by_hand(SystemTime::now());
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.clock = clock.clone();
    let authority = Authority::start(&settings).await.unwrap();
    let before = authority.current().bundle.sequence;
    hand.set(clock.now() - Duration::from_secs(3600));
    authority.rotate(Overlap::Force).await.unwrap();
    assert!(authority.current().bundle.sequence > before);
}

#[derive(Debug)]
struct Above {
    ca: identity::testing::TestCa,
    roots: watch::Sender<Vec<rustls_pki_types::CertificateDer<'static>>>,
    away: std::sync::atomic::AtomicBool,
}

impl crate::ca::UpstreamAuthority for Above {
    fn mint_x509_ca(
        &self,
        csr_der: Vec<u8>,
        ttl: Duration,
    ) -> futures_util::future::BoxFuture<'_, Result<crate::ca::Minted, crate::ca::UpstreamError>> {
        Box::pin(async move {
            if self.away.load(Ordering::SeqCst) {
                return Err(crate::ca::UpstreamError("away".to_owned()));
            }
            let not_after = SystemTime::now() + ttl;
            let chain = self.ca.sign(&csr_der, "spiffe://cluster.local", |params| {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
                params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
                params.extended_key_usages.clear();
                params.distinguished_name.push(rcgen::DnType::CommonName, "between");
                params.not_after = not_after.into();
            });
            Ok(crate::ca::Minted {
                chain: chain.map_err(|error| crate::ca::UpstreamError(error.to_string()))?,
            })
        })
    }

    fn roots(&self) -> watch::Receiver<Vec<rustls_pki_types::CertificateDer<'static>>> {
        self.roots.subscribe()
    }
}

#[tokio::test]
async fn an_authority_above_signs_and_its_roots_are_followed() {
    let ca = identity::testing::TestCa::new("cluster.local");
    let roots = watch::Sender::new(vec![ca.root().clone()]);
    let above = Arc::new(Above { ca, roots, away: false.into() });
    let (clock, hand) = Clock::by_hand(SystemTime::now());
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.clock = clock;
    let ttl = Duration::from_secs(3600);
    settings.ca = CaKind::Upstream { authority: above.clone(), ttl };
    let authority = Authority::start(&settings).await.unwrap();
    let signer = || authority.current().signer.clone().unwrap();
    let first = signer();
    assert_eq!(first.chain().len(), 1, "our own intermediate goes along");
    assert_eq!(authority.current().bundle.x509, [above.ca.root().clone()]);
    let other = identity::testing::TestCa::new("cluster.local");
    above.roots.send_replace(vec![above.ca.root().clone(), other.root().clone()]);
    authority.refresh_external().await.unwrap();
    assert_eq!(authority.current().bundle.x509.len(), 2);
    assert!(Arc::ptr_eq(&first, &signer()), "new roots are no reason for a new key");
    // Half of its life is over, and nobody is there to renew it: what is held goes on until its end.
    above.away.store(true, Ordering::SeqCst);
    hand.advance(Duration::from_secs(1900));
    authority.refresh_external().await.unwrap();
    assert!(Arc::ptr_eq(&first, &signer()));
    above.away.store(false, Ordering::SeqCst);
    authority.refresh_external().await.unwrap();
    assert!(!Arc::ptr_eq(&first, &signer()));
    assert!(matches!(authority.rotate(Overlap::Force).await, Err(RotationError::Upstream)));
}

/// A key whose holder cannot be reached.
#[derive(Debug)]
struct Absent(Vec<u8>);

impl crate::ca::CaKey for Absent {
    fn public(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::Sign("the token was pulled out".to_owned()))
    }
}

#[test]
fn a_key_that_does_not_sign_is_an_error_and_no_certificate() {
    let ca = identity::testing::TestCa::new("cluster.local");
    let public = rcgen::PublicKeyData::subject_public_key_info(ca.issuer().key());
    let signer = Signer::new(ca.root().clone(), Vec::new(), Arc::new(Absent(public))).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let public = rcgen::PublicKeyData::subject_public_key_info(&key);
    let public = rcgen::SubjectPublicKeyInfo::from_der(&public).unwrap();
    signer.sign(&rcgen::CertificateParams::default(), &public).unwrap_err();
}
