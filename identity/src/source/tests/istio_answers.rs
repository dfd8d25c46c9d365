//! A CA that lies, or talks nonsense: nothing of it is taken, what is held stays.

use std::sync::Arc;
use std::time::Duration;

use super::istio_ca::{Answer, ID, Lab, Mood, texts};
use super::{clock, failure, generation};
use crate::pem;
use crate::testing::TestCa;

/// A lie, and what is said about it.
fn lies() -> Vec<(&'static str, Answer, &'static str)> {
    let lie = |answer: fn(&super::istio_ca::FakeCa, &[u8]) -> Vec<String>| -> Answer { Arc::new(answer) };
    vec![
        (
            "another service account",
            lie(|fake, csr| {
                let mut chain = fake.sign(csr, "spiffe://cluster.local/ns/edge/sa/other");
                chain.push(fake.ca().root().clone());
                texts(&chain)
            }),
            "not of spiffe://cluster.local/ns/edge/sa/gw",
        ),
        (
            "another trust domain",
            lie(|fake, csr| {
                let mut chain = fake.sign(csr, "spiffe://evil.example/ns/edge/sa/gw");
                chain.push(fake.ca().root().clone());
                texts(&chain)
            }),
            "not of spiffe://cluster.local/ns/edge/sa/gw",
        ),
        (
            "another key",
            lie(|fake, _| {
                let mut chain = fake.ca().issue_with(ID, |_| {}).chain;
                chain.push(fake.ca().root().clone());
                texts(&chain)
            }),
            "the private key does not belong to the first certificate",
        ),
        (
            "expired",
            lie(|fake, csr| {
                let now = fake.clock.now();
                let hours = |hours: u64| Duration::from_secs(hours * 3600);
                let mut chain = fake.sign_between(csr, ID, now - hours(2), now - hours(1));
                chain.push(fake.ca().root().clone());
                texts(&chain)
            }),
            "the SVID does not verify",
        ),
        (
            "not yet valid",
            lie(|fake, csr| {
                let now = fake.clock.now();
                let hours = |hours: u64| Duration::from_secs(hours * 3600);
                let mut chain = fake.sign_between(csr, ID, now + hours(1), now + hours(2));
                chain.push(fake.ca().root().clone());
                texts(&chain)
            }),
            "the SVID does not verify",
        ),
        (
            "roots that it does not chain to",
            lie(|fake, csr| {
                let mut chain = fake.sign(csr, ID);
                chain.push(TestCa::new("cluster.local").root().clone());
                texts(&chain)
            }),
            "the SVID does not verify",
        ),
        (
            "no intermediate",
            lie(|fake, csr| {
                let leaf = fake.sign(csr, ID).remove(0);
                texts(&[leaf, fake.ca().root().clone()])
            }),
            "the SVID does not verify",
        ),
        ("one part", lie(|fake, csr| texts(&fake.sign(csr, ID)[..1])), "the answer has 1 parts"),
        ("no part", lie(|_, _| Vec::new()), "the answer has 0 parts"),
        (
            "garbage",
            lie(|_, _| vec!["garbage".to_owned(), "garbage".to_owned()]),
            "part 2 of the answer cannot be read",
        ),
        (
            "garbage for a leaf",
            lie(|fake, _| vec!["garbage".to_owned(), fake.ca().anchors().0.to_string()]),
            "part 1 of the answer cannot be read",
        ),
        (
            "DER that is none",
            lie(|fake, _| {
                vec![pem::encode("CERTIFICATE", b"\x30\x03abc"), fake.ca().anchors().0.to_string()]
            }),
            "the answer cannot be used",
        ),
        (
            "a leaf for a root",
            lie(|fake, csr| {
                let chain = fake.sign(csr, ID);
                texts(&[chain[0].clone(), chain[0].clone()])
            }),
            "the roots cannot be used",
        ),
        (
            "a root for a leaf",
            lie(|fake, _| texts(&[fake.ca().root().clone(), fake.ca().root().clone()])),
            "the answer cannot be used",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_lie_is_taken_and_what_is_held_stays() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, running) = lab.start();
    let held = generation(&identity, 1).await;
    for (name, lie, said) in lies() {
        lab.fake.mood(Mood::Lie(lie));
        running.renew();
        let status = failure(&identity, said).await;
        assert!(status.ready, "{name}: {status:?}");
        let now = identity.material().unwrap();
        assert_eq!((now.generation, &now.svid, &now.bundles), (1, &held.svid, &held.bundles), "{name}");
    }
    lab.fake.mood(Mood::Good);
    running.renew();
    generation(&identity, 2).await;
    assert_eq!(identity.status().last_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_lie_at_first_is_no_identity() {
    for (name, lie, said) in lies() {
        let lab = Lab::new(clock());
        lab.fake.mood(Mood::Lie(lie));
        lab.serve();
        let (identity, _running) = lab.start();
        let status = failure(&identity, said).await;
        assert!(!status.ready && identity.material().is_none(), "{name}: {status:?}");
    }
}
