//! Files and Secrets that somebody else renews.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{GatewayIdentity, IdentityName, IdentitySource, KeyPair, PeerProfile, SecretName};
use tempfile::TempDir;

use super::net::Net;
use super::{clock, failure, generation, until};
use crate::material::Identity;
use crate::pem;
use crate::source::{Running, SourceContext, start_with};
use crate::testing::TestCa;

const ID: &str = "spiffe://td.example/gw";

fn start(source: IdentitySource, context: SourceContext) -> (Identity, Running) {
    let spec = GatewayIdentity {
        trust_domain: "td.example".into(),
        spiffe_id: None,
        profile: PeerProfile::SpiffeStrict,
        source,
    };
    start_with(&IdentityName::new("edge/gw"), &spec, context, Net::default().dialer())
}

/// A volume as Kubernetes makes it: files are links into `..data`, which is a link to a folder that is swapped.
struct Volume(TempDir);

impl Volume {
    fn new() -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        for name in ["tls.crt", "tls.key", "ca.crt", "ca-crl.pem"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn swap(&self, version: &str, pair: &KeyPair, roots: &str, crl: Option<&str>) {
        let folder = self.path(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &*pair.certificate_chain).unwrap();
        std::fs::write(folder.join("tls.key"), &**pair.private_key.expose()).unwrap();
        std::fs::write(folder.join("ca.crt"), roots).unwrap();
        if let Some(crl) = crl {
            std::fs::write(folder.join("ca-crl.pem"), crl).unwrap();
        }
        let link = self.path("..data_tmp");
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(link, self.path("..data")).unwrap();
    }

    fn source(&self) -> IdentitySource {
        let path = |name: &str| Arc::from(self.path(name).to_str().unwrap());
        IdentitySource::Files {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            roots: path("ca.crt"),
            crl: Some(path("ca-crl.pem")),
        }
    }
}

fn context() -> SourceContext {
    SourceContext { clock: clock(), ..SourceContext::default() }
}

#[tokio::test(start_paused = true)]
async fn files_are_followed_through_kubernetes_swaps() {
    let ca = TestCa::new("td.example");
    let volume = Volume::new();
    let (identity, _running) = start(volume.source(), context());
    let status = failure(&identity, "tls.crt cannot be read").await;
    assert!(!status.ready);

    volume.swap("one", &ca.issue_with(ID, |_| {}).key_pair(), &ca.anchors().0, None);
    let first = generation(&identity, 1).await;
    assert_eq!(first.svid.id().as_str(), ID);
    assert!(identity.status().source.ends_with("tls.crt"));
    assert_eq!(identity.status().last_error, None);

    let crl = pem::encode("X509 CRL", &ca.revoke(&[]));
    volume.swap("two", &ca.issue_with(ID, |_| {}).key_pair(), &ca.anchors().0, Some(&crl));
    let second = generation(&identity, 2).await;
    assert_ne!(first.svid, second.svid);
    assert_eq!(second.crls.len(), 1);
    // Not published again and again.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(identity.status().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_does_not_fit_leaves_the_one_before() {
    let ca = TestCa::new("td.example");
    let volume = Volume::new();
    let good = ca.issue_with(ID, |_| {}).key_pair();
    volume.swap("good", &good, &ca.anchors().0, None);
    let (identity, _running) = start(volume.source(), context());
    let held = generation(&identity, 1).await;

    let other = ca.issue_with(ID, |_| {}).key_pair();
    let mixed = KeyPair { private_key: other.private_key.clone(), ..good.clone() };
    let half =
        KeyPair { private_key: model::Secret::new(other.private_key.expose()[..60].into()), ..other.clone() };
    let foreign = TestCa::new("td.example");
    let bad = [
        ("mixed", &mixed, ca.anchors().0.to_string(), "does not belong to the first certificate"),
        ("half", &half, ca.anchors().0.to_string(), "private key"),
        ("empty", &other, String::new(), "no PEM block CERTIFICATE"),
        ("foreign", &other, foreign.anchors().0.to_string(), "the SVID does not verify"),
    ];
    for (name, pair, roots, said) in bad {
        volume.swap(name, pair, &roots, None);
        let status = failure(&identity, said).await;
        assert!(status.ready, "{name}: {status:?}");
        assert_eq!(identity.material().unwrap().svid, held.svid, "{name}");
    }
    volume.swap("bad list", &other, &ca.anchors().0, Some("garbage"));
    let before = failure(&identity, "X509 CRL").await.failures;
    // Said once, not at every look.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(identity.status().failures, before);
    volume.swap("whole", &other, &ca.anchors().0, None);
    let next = generation(&identity, 2).await;
    assert_ne!(next.svid, held.svid);
    assert_eq!(identity.status().last_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_comes_back_is_no_longer_an_error() {
    let ca = TestCa::new("td.example");
    let volume = Volume::new();
    let good = ca.issue_with(ID, |_| {}).key_pair();
    volume.swap("good", &good, &ca.anchors().0, None);
    let (identity, _running) = start(volume.source(), context());
    generation(&identity, 1).await;
    std::fs::remove_file(volume.path("..data")).unwrap();
    failure(&identity, "cannot be read").await;
    volume.swap("again", &good, &ca.anchors().0, None);
    until(&identity, |status| status.last_error.is_none()).await;
    assert_eq!(identity.status().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_followed_through_the_configuration() {
    let ca = TestCa::new("td.example");
    let name = SecretName::new("edge/gw-svid");
    let source = IdentitySource::Secret { key_pair: name.clone(), roots: ca.anchors(), crl: None };
    let clock = clock();
    let with = |pair: Option<KeyPair>| SourceContext {
        clock: clock.clone(),
        key_pairs: pair.into_iter().map(|pair| (name.clone(), Arc::new(pair))).collect::<BTreeMap<_, _>>(),
        ..SourceContext::default()
    };
    let (identity, running) = start(source, with(None));
    failure(&identity, "the Secret edge/gw-svid is not there").await;
    let pair = ca.issue_with(ID, |_| {}).key_pair();
    running.update(with(Some(pair.clone())));
    let held = generation(&identity, 1).await;
    running.update(with(Some(pair)));
    running.update(with(None));
    failure(&identity, "is not there").await;
    assert_eq!(identity.material().unwrap().svid, held.svid);
    running.update(with(Some(ca.issue_with(ID, |_| {}).key_pair())));
    generation(&identity, 2).await;
}
