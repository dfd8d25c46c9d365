//! Bootstrap tokens: once, for one registration, for a while.

use std::time::Duration;

use issuer::{Issuer, Registration, Selectors};
use tonic::Code;

use crate::client::{self, csr, request};
use crate::rig::{Rig, id, registered};

const VM: &str = "spiffe://cluster.local/ns/vm/sa/reports";

async fn rig() -> Rig {
    let rig = Rig::start().await;
    let mut registration = Registration::new(id(VM), Selectors::default());
    registration.dns_names = vec!["reports.internal".to_owned()];
    registration.ttl = Some(Duration::from_secs(3600));
    rig.issuer.configure(registered([("reports", registration)]));
    rig
}

async fn token(rig: &Rig) -> String {
    rig.issuer.bootstrap_token("reports", Duration::from_secs(600)).await.unwrap().expose().clone()
}

async fn refused(rig: &Rig, token: &str, reason: &str) {
    let issued = rig.issuer.status().issued;
    let status = rig.client().call(None, request(Some(token), &csr(|_| {}).0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(rig.log.last_reason(), reason);
    assert_eq!(rig.issuer.status().issued, issued);
}

#[tokio::test]
async fn a_token_is_good_once() {
    let rig = rig().await;
    let token = token(&rig).await;
    let (csr, key) = csr(|_| {});
    let answer = rig.client().call(None, request(Some(&token), &csr)).await.unwrap();
    let (chain, _) = client::split(&answer);
    let facts = identity::peer_facts(&chain, model::PeerProfile::SpiffeStrict).unwrap();
    assert_eq!(facts.id.as_str(), VM);
    refused(&rig, &token, "unknown-token").await;
    // From then on it renews by its SVID, and keeps the DNS name that it is granted.
    let shown = client::Shown { chain, key: key.serialize_der() };
    let named = client::csr(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("reports.internal".try_into().unwrap())];
    });
    rig.client().call(Some(&shown), request(None, &named.0)).await.unwrap();
    assert!(!rig.log.text().contains(&token), "the token is in the log");
}

#[tokio::test]
async fn two_at_once_are_one() {
    let rig = rig().await;
    let token = token(&rig).await;
    let (csr, _) = csr(|_| {});
    let client = rig.client();
    let (first, second) = tokio::join!(
        client.call(None, request(Some(&token), &csr)),
        client.call(None, request(Some(&token), &csr))
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_request_that_is_refused_does_not_spend_it() {
    let rig = rig().await;
    let token = token(&rig).await;
    let mut call = request(Some(&token), &csr(|_| {}).0);
    call.get_mut().validity_duration = 3601;
    let status = rig.client().call(None, call).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "the registration says an hour");
    rig.client().call(None, request(Some(&token), &csr(|_| {}).0)).await.unwrap();
}

#[tokio::test]
async fn tokens_expire_and_die_with_their_registration() {
    let rig = rig().await;
    let (first, second) = (token(&rig).await, token(&rig).await);
    refused(&rig, &format!("{}x", first.split_at(first.len() - 1).0), "unknown-token").await;
    rig.pass(Duration::from_secs(600));
    refused(&rig, &first, "expired-token").await;
    let third = token(&rig).await;
    rig.issuer.configure(registered([]));
    refused(&rig, &third, "no-registration").await;
    refused(&rig, &second, "unknown-token").await;
    let error = rig.issuer.bootstrap_token("reports", Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("reports"), "{error}");
}

#[tokio::test]
async fn a_spent_token_stays_spent_over_a_restart_and_is_hashed_on_disk() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let rig = Rig::start_with(|settings| settings.state = Some(folder.clone())).await;
    let registration = Registration::new(id(VM), Selectors::default());
    rig.issuer.configure(registered([("reports", registration.clone())]));
    let (spent, kept) = (token(&rig).await, token(&rig).await);
    rig.client().call(None, request(Some(&spent), &csr(|_| {}).0)).await.unwrap();
    let text = std::fs::read_to_string(folder.join("state")).unwrap();
    assert!(!text.contains(kept.trim_start_matches("diolkos-bootstrap.")));
    let mut settings = issuer::IssuerSettings::new(crate::rig::trust_domain());
    settings.state = Some(folder);
    settings.ca = issuer::CaKind::SelfSigned { ttl: Duration::from_secs(10 * 24 * 3600) };
    settings.dns_names = vec!["issuer.test".to_owned()];
    settings.istio_ca = Some("127.0.0.1:0".parse().unwrap());
    settings.clock = rig.clock.clone();
    let roots = rig.roots();
    drop(rig.issuer);
    // The lock is free when the tasks of the first have ended.
    let again = loop {
        match Issuer::start(settings.clone()).await {
            Ok(issuer) => break issuer,
            Err(error) => assert!(error.to_string().contains("in use"), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    again.configure(registered([("reports", registration)]));
    let client =
        client::Client { address: again.addresses().istio_ca.unwrap(), roots, clock: rig.clock.clone() };
    assert!(client.call(None, request(Some(&spent), &csr(|_| {}).0)).await.is_err());
    client.call(None, request(Some(&kept), &csr(|_| {}).0)).await.unwrap();
}
