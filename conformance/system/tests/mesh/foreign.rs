//! The foreign mesh members with one another: if these fail, it is they or how we start them, not the gateway.

use std::time::Duration;

use anyhow::Result;
use system::mesh::tokens::Claims;
use system::mesh::{Authority, Istiod, Spire, workload};
use system::retry;

const HOUR: Duration = Duration::from_secs(3600);
/// An agent learns of a registration some time later.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn istiod_certifies_who_has_a_good_token() -> Result<()> {
    let authority = Authority::new("one", HOUR)?;
    let istiod = Istiod::start(&authority, HOUR).await?;
    let (ca, roots) = (istiod.address().to_string(), istiod.root().display().to_string());
    let good = istiod.token("good", &Claims::default())?.display().to_string();
    let (given, chain) = workload::ca_client(&["-ca", &ca, "-roots", &roots, "-token", &good]).await?;
    assert!(given, "{chain}\n{}", istiod.log());
    let facts = workload::facts(&chain).await?;
    assert!(facts.contains("URI:spiffe://cluster.local/ns/default/sa/edge-diolkos"), "{facts}");

    let other = Claims { audience: "somebody", ..Claims::default() };
    let expired = Claims { life: Duration::ZERO, ..Claims::default() };
    let stranger = Claims { issuer: "https://elsewhere.example", ..Claims::default() };
    for claims in [other, expired, stranger] {
        let bad = istiod.token("bad", &claims)?.display().to_string();
        let (given, reason) = workload::ca_client(&["-ca", &ca, "-roots", &roots, "-token", &bad]).await?;
        assert!(!given && reason.contains("Unauthenticated"), "{claims:?}: {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn istios_agent_keeps_a_certificate_of_istiod() -> Result<()> {
    let authority = Authority::new("one", HOUR)?;
    let istiod = Istiod::start(&authority, HOUR).await?;
    let token = istiod.tokens.token(&Claims { account: ("shop", "cart"), ..Claims::default() })?;
    let mut agent =
        workload::PilotAgent::start(&istiod.address().to_string(), authority.root(), &token, "20s").await?;
    let first = agent.certificate("").await?;
    let facts = workload::facts(&first).await?;
    assert!(facts.contains("URI:spiffe://cluster.local/ns/shop/sa/cart"), "{facts}");
    agent.certificate(&first).await.map(drop)
}

#[tokio::test]
async fn spire_serves_go_and_python() -> Result<()> {
    let mut spire = Spire::start("one.test").await?;
    spire.start_agent().await?;
    spire.register("/ns/shop/sa/cart", 60, &[]).await?;
    let seen =
        retry(HALF_A_MINUTE, async || workload::go_spiffe(&["x509", "-socket", &spire.socket()]).await)
            .await?;
    let id = seen.first().and_then(|line| line.pointer("/svids/0/id")).and_then(|id| id.as_str());
    assert_eq!(id, Some("spiffe://one.test/ns/shop/sa/cart"), "{seen:?}");
    let jwt = workload::go_spiffe(&["jwt", "-socket", &spire.socket(), "-audience", "shop"]).await?;
    assert_eq!(jwt.len(), 1);
    let python = workload::py_spiffe(&spire.socket(), &["x509"]).await?;
    let id = python.first().and_then(|line| line.pointer("/svids/0/id")).and_then(|id| id.as_str());
    assert_eq!(id, Some("spiffe://one.test/ns/shop/sa/cart"), "{python:?}");
    workload::py_spiffe(&spire.socket(), &["jwt", "shop"]).await.map(drop)
}
