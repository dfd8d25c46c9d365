//! Roots change, and nobody who was told in time notices.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::testing::TestCa;
use identity::{Issue, TrustBundles};
use issuer::ca::{CaKey, KeyError};
use issuer::{CaFiles, CaKind, Issuer, IssuerSettings, IssuerStatus, Lives, Overlap, Phase, RotationError};
use rustls_pki_types::CertificateDer;

use crate::rig::{Rig, trust_domain};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Five refresh hints.
const KNOWN: Duration = Duration::from_secs(5 * 300);

fn phases(status: &IssuerStatus) -> Vec<Phase> {
    status.roots.iter().map(|root| root.phase.unwrap()).collect()
}

/// Without the Istio CA nobody has to be waited for but those who fetch the bundle.
async fn rig() -> Rig {
    Rig::start_with(|settings| settings.istio_ca = None).await
}

async fn issue(issuer: &Issuer) -> Vec<CertificateDer<'static>> {
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    issuer.issue(&crate::rig::id(crate::rig::CART), &csr, Duration::from_secs(3600)).await.unwrap()
}

#[tokio::test]
async fn a_new_root_is_published_long_before_it_signs() {
    let rig = rig().await;
    let before = rig.bundles();
    let early = issue(&rig.issuer).await;
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    assert_ne!(rotation.old, rotation.new);
    assert!(matches!(rotation.phase, Phase::Published { .. }));
    let during = rig.bundles();
    assert_eq!(rig.issuer.status().signing, rotation.old, "the old root still signs");
    let late = issue(&rig.issuer).await;
    for bundles in [&before, &during] {
        assert!(rig.believes(bundles, &early) && rig.believes(bundles, &late));
    }
    // A second rotation names both roots.
    let error = rig.issuer.rotate_root(Overlap::Keep).await.unwrap_err();
    assert!(matches!(error, RotationError::UnderWay { .. }));
    let text = error.to_string();
    assert!(text.contains(&rotation.old) && text.contains(&rotation.new), "{text}");
    rig.pass(KNOWN);
    rig.until("activation", |status| status.signing == rotation.new).await;
    let new = issue(&rig.issuer).await;
    assert!(rig.believes(&during, &new) && rig.believes(&rig.bundles(), &early));
    assert!(!rig.believes(&before, &new), "that is why it is published first");
    assert_eq!(phases(&rig.issuer.status()), [Phase::Superseded, Phase::Active]);
}

#[tokio::test]
async fn those_who_are_waited_for_may_make_it_quicker_and_nobody_slower() {
    let rig = rig().await;
    let (first, second) = (rig.issuer.acknowledger("shard-a"), rig.issuer.acknowledger("shard-b"));
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    let sequence = rig.issuer.status().sequence;
    first.acknowledge(sequence);
    second.acknowledge(sequence - 1);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.issuer.status().signing, rotation.old, "one does not have it yet");
    // A shard that is taken away is not waited for.
    drop(second);
    rig.until("activation", |status| status.signing == rotation.new).await;
}

#[tokio::test]
async fn where_nobody_fetches_nobody_is_waited_for_and_the_old_root_leaves_with_its_leaves() {
    let rig = rig().await;
    let old = issue(&rig.issuer).await;
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    rig.pass(Duration::from_secs(10));
    rig.until("activation", |status| status.signing == rotation.new).await;
    assert!(rig.believes(&rig.bundles(), &old));
    rig.pass(DAY + Duration::from_secs(59));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(rig.issuer.status().roots.iter().any(|root| root.fingerprint == rotation.old));
    rig.pass(Duration::from_secs(1));
    rig.until("its end", |status| status.roots.iter().all(|root| root.fingerprint != rotation.old)).await;
}

#[tokio::test]
async fn whoever_fetches_the_bundle_is_waited_for() {
    let rig = rig().await;
    crate::bundles::ask(&rig, "GET /").await;
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    rig.pass(KNOWN - Duration::from_secs(1));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.issuer.status().signing, rotation.old);
    rig.pass(Duration::from_secs(1));
    rig.until("activation", |status| status.signing == rotation.new).await;
}

#[tokio::test]
async fn a_ca_whose_key_is_held_elsewhere() {
    let root = TestCa::new("cluster.local");
    let ca = root.intermediate();
    let mut settings = IssuerSettings::new(trust_domain());
    let key: Arc<dyn CaKey> = Arc::new(Device(ca.issuer().key().serialize_pem()));
    let roots = vec![root.root().clone()];
    settings.ca = CaKind::Held { key: key.clone(), chain: ca.intermediates().to_vec(), roots };
    let issuer = Issuer::start(settings.clone()).await.unwrap();
    assert_eq!(issue(&issuer).await.len(), 2);
    let roots = vec![TestCa::new("cluster.local").root().clone()];
    settings.ca = CaKind::Held { key, chain: ca.intermediates().to_vec(), roots };
    Issuer::start(settings).await.unwrap_err();
}

/// A key that nobody but its holder sees.
struct Device(String);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device")
    }
}

impl CaKey for Device {
    fn public(&self) -> &[u8] {
        use rcgen::PublicKeyData;
        // A real one asks its device once; this one lives as long as the test.
        Box::leak(rcgen::KeyPair::from_pem(&self.0).unwrap().subject_public_key_info().into_boxed_slice())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let pair = rcgen::KeyPair::from_pem(&self.0).unwrap();
        rcgen::SigningKey::sign(&pair, message).map_err(|error| KeyError::Sign(error.to_string()))
    }
}

#[tokio::test]
async fn certificates_that_were_handed_out_with_the_old_roots_are_waited_for() {
    let rig = Rig::start().await;
    // Its holder learns roots only when it renews: at the latest when this one ends, in ten minutes.
    rig.cart().await;
    let one = rig.issuer.acknowledger("shard-a");
    let rotation = rig.issuer.rotate_root(Overlap::Keep).await.unwrap();
    one.acknowledge(rig.issuer.status().sequence);
    rig.pass(Duration::from_secs(590));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.issuer.status().signing, rotation.old);
    rig.pass(Duration::from_secs(10));
    rig.until("activation", |status| status.signing == rotation.new).await;
}

#[tokio::test]
async fn roots_rotate_by_themselves_and_leave_a_day_after_their_end() {
    let rig = rig().await;
    let first = rig.issuer.status().signing;
    let mut believed = issue(&rig.issuer).await;
    let mut bundles: TrustBundles = rig.bundles();
    let mut hours = 0;
    while rig.issuer.status().roots.iter().any(|root| root.fingerprint == first) {
        rig.pass(Duration::from_secs(3600));
        hours += 1;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        // Whoever renews each hour and has the bundle of the hour before is believed at every moment.
        assert!(rig.issuer.status().roots.len() <= 3);
        let next = issue(&rig.issuer).await;
        assert!(rig.believes(&bundles, &next), "hour {hours}");
        bundles = rig.bundles();
        believed = next;
        assert!(hours < 12 * 24, "the first root never left");
    }
    assert!(rig.believes(&bundles, &believed));
    assert!((10 * 24 + 23..=11 * 24 + 1).contains(&hours), "left after {hours} hours");
}

#[tokio::test]
async fn force_replaces_the_root_at_once_and_names_both() {
    let rig = rig().await;
    let before = rig.bundles();
    let old = issue(&rig.issuer).await;
    let rotation = rig.issuer.rotate_root(Overlap::Force).await.unwrap();
    assert_eq!(rotation.phase, Phase::Active);
    let new = issue(&rig.issuer).await;
    assert!(rig.believes(&rig.bundles(), &new));
    assert!(!rig.believes(&rig.bundles(), &old) && !rig.believes(&before, &new));
    let log = rig.log.text();
    let line = log.lines().find(|line| line.contains("without overlap")).unwrap();
    assert!(line.contains("ERROR") && line.contains(&rotation.old) && line.contains(&rotation.new), "{line}");
}

fn on_disk(rig: &Rig, folder: &Path) -> IssuerSettings {
    let mut settings = IssuerSettings::new(trust_domain());
    settings.state = Some(folder.to_owned());
    settings.ca = CaKind::SelfSigned { ttl: 10 * DAY };
    settings.clock = rig.clock.clone();
    settings
}

/// Starts again once the lock of the one before is free.
async fn start_again(settings: &IssuerSettings) -> Result<Issuer, String> {
    loop {
        match Issuer::start(settings.clone()).await {
            Ok(issuer) => return Ok(issuer),
            Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[tokio::test]
async fn a_rotation_goes_on_after_a_restart() {
    let rig = rig().await;
    let folder = rig.path("state");
    let settings = on_disk(&rig, &folder);
    let issuer = Issuer::start(settings.clone()).await.unwrap();
    let bundles = issuer.bundles().borrow().clone();
    let chain = issue(&issuer).await;
    let rotation = issuer.rotate_root(Overlap::Keep).await.unwrap();
    let sequence = issuer.status().sequence;
    // Two at once would make two roots.
    let error = Issuer::start(settings.clone()).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(issuer);
    let issuer = start_again(&settings).await.unwrap();
    let status = issuer.status();
    assert_eq!((&status.signing, status.sequence), (&rotation.old, sequence));
    assert!(rig.believes(&bundles, &issue(&issuer).await));
    assert!(rig.believes(&issuer.bundles().borrow().clone(), &chain));
    drop(issuer);
    // It was off while the time came.
    rig.pass(KNOWN);
    let issuer = start_again(&settings).await.unwrap();
    assert_eq!(issuer.status().signing, rotation.new);
}

#[tokio::test]
async fn state_that_cannot_be_read_stops_the_issuer() {
    let rig = rig().await;
    let folder = rig.path("state");
    let settings = on_disk(&rig, &folder);
    drop(Issuer::start(settings.clone()).await.unwrap());
    let state = folder.join("state");
    let good = std::fs::read_to_string(&state).unwrap();
    std::fs::write(&state, good.replace("published", "Published").replace("active", "Active")).unwrap();
    let error = start_again(&settings).await.unwrap_err();
    assert!(error.contains("checksum"), "{error}");
    std::fs::remove_file(&state).unwrap();
    let error = start_again(&settings).await.unwrap_err();
    assert!(error.contains("missing"), "{error}");
    assert!(!state.exists(), "no new root in its place");
}

fn write_ca(folder: &Path, ca: &TestCa, roots: &[&TestCa]) {
    let roots: String = roots.iter().map(|root| root.anchors().0.to_string()).collect();
    let chain: String = ca.intermediates().iter().map(|der| pem(der)).collect();
    let chain = if chain.is_empty() { ca.anchors().0.to_string() } else { chain };
    std::fs::write(folder.join("tls.crt"), chain).unwrap();
    std::fs::write(folder.join("tls.key"), ca.issuer().key().serialize_pem()).unwrap();
    std::fs::write(folder.join("ca.crt"), roots).unwrap();
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[tokio::test(start_paused = true)]
async fn a_ca_from_files_is_followed_and_never_without_overlap_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) =
        (TestCa::new("cluster.local"), TestCa::new("cluster.local"), TestCa::new("cluster.local"));
    write_ca(folder.path(), &first.intermediate(), &[&first]);
    let mut settings = IssuerSettings::new(trust_domain());
    settings.ca = CaKind::Files(CaFiles::cert_manager(folder.path()));
    let issuer = Issuer::start(settings).await.unwrap();
    let believes = |bundles: &TrustBundles, chain: &[CertificateDer<'static>]| {
        let now = std::time::SystemTime::now();
        identity::verify::verify_chain(
            chain,
            bundles,
            identity::verify::Role::Any,
            model::PeerProfile::SpiffeStrict,
            now,
        )
        .is_ok()
    };
    let chain = issue(&issuer).await;
    assert_eq!(chain.len(), 2, "the intermediate goes along");
    assert!(believes(&first.bundles(), &chain));
    // Both roots, then the new intermediate: as it should be done.
    let mut bundles = issuer.bundles();
    write_ca(folder.path(), &first.intermediate(), &[&first, &second]);
    let two = |bundles: &TrustBundles| bundles.0.values().any(|bundle| bundle.x509.len() == 2);
    bundles.wait_for(two).await.unwrap();
    write_ca(folder.path(), &second.intermediate(), &[&second]);
    bundles.wait_for(|bundles| !two(bundles)).await.unwrap();
    assert!(believes(&second.bundles(), &issue(&issuer).await));
    // A root that nobody knows, all at once: the old one goes on, and an error names both.
    let log = crate::audit::Log::capture();
    write_ca(folder.path(), &third.intermediate(), &[&third]);
    while !log.text().contains("nothing in common") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(believes(&second.bundles(), &issue(&issuer).await));
    assert!(matches!(issuer.rotate_root(Overlap::Keep).await, Err(RotationError::Files)));
    issuer.rotate_root(Overlap::Force).await.unwrap();
    assert!(believes(&third.bundles(), &issue(&issuer).await));
}

#[tokio::test]
async fn files_that_are_no_ca_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (TestCa::new("cluster.local"), TestCa::new("cluster.local"));
    let mut settings = IssuerSettings::new(trust_domain());
    settings.ca = CaKind::Files(CaFiles::cert_manager(folder.path()));
    let start = || Issuer::start(settings.clone());
    assert!(start().await.unwrap_err().to_string().contains("cannot read"));
    write_ca(folder.path(), &ca.intermediate(), &[&other]);
    assert!(start().await.unwrap_err().to_string().contains("none of the roots"));
    write_ca(folder.path(), &ca.intermediate(), &[&ca]);
    std::fs::write(folder.path().join("tls.key"), other.issuer().key().serialize_pem()).unwrap();
    assert!(start().await.unwrap_err().to_string().contains("does not belong"));
    let leaf = ca.issue_with(crate::rig::CART, |_| {});
    std::fs::write(folder.path().join("tls.crt"), pem(&leaf.chain[0])).unwrap();
    std::fs::write(folder.path().join("tls.key"), leaf.key.serialize_pem()).unwrap();
    assert!(start().await.unwrap_err().to_string().contains("not a CA"));
}

#[tokio::test]
async fn istios_layout_is_read_with_its_chain_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let root = TestCa::new("cluster.local");
    let ca = root.intermediate().intermediate();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca-cert.pem", pem(&ca.intermediates()[0]));
    write("ca-key.pem", ca.issuer().key().serialize_pem());
    write("root-cert.pem", root.anchors().0.to_string());
    // Istio's chain repeats the signing certificate and ends with the root.
    let chain = ca.intermediates().iter().map(|der| pem(der)).chain([root.anchors().0.to_string()]);
    write("cert-chain.pem", chain.collect());
    let mut settings = IssuerSettings::new(trust_domain());
    settings.ca = CaKind::Files(CaFiles::istio(folder.path()));
    let issuer = Issuer::start(settings).await.unwrap();
    let chain = issue(&issuer).await;
    assert_eq!(chain.len(), 3);
    assert_eq!(issuer.bundles().borrow().0.get(&trust_domain()).unwrap().x509, [root.root().clone()]);
}

#[tokio::test]
async fn lives_that_do_not_fit_are_refused_at_the_start() {
    let mut settings = IssuerSettings::new(trust_domain());
    settings.ca = CaKind::SelfSigned { ttl: DAY };
    let error = Issuer::start(settings.clone()).await.unwrap_err().to_string();
    assert!(error.contains("cannot sign SVIDs"), "{error}");
    settings.lives = Lives { max_svid: DAY / 6, ..Lives::default() };
    Issuer::start(settings).await.unwrap();
}
