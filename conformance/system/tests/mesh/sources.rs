//! Identities from real control planes: what is obtained, kept, renewed and given up.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use identity::{Identity, SourceContext, start};
use model::{GatewayIdentity, IdentitySource, IstioCa, PeerProfile, RootsFrom};
use system::mesh::tokens::Claims;
use system::mesh::{Authority, Istiod, Spire, StandIn, stand_in::Mode};
use system::until;

const GATEWAY: &str = "spiffe://cluster.local/ns/default/sa/edge-diolkos";
const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(40);

fn text(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

/// Who we are by istiod, with a good token unless the test writes another into the file.
fn by_istiod(istiod: &Istiod, port: u16, ttl: Duration) -> Result<GatewayIdentity> {
    let token = istiod.token("token", &Claims::default())?;
    Ok(GatewayIdentity {
        trust_domain: "cluster.local".into(),
        spiffe_id: Some(GATEWAY.into()),
        profile: PeerProfile::Istio,
        source: IdentitySource::IstioCa(IstioCa {
            address: istiod.place.at(port).to_string().into(),
            roots: RootsFrom::File(text(&istiod.root())),
            token: text(&token),
            cluster_id: "Kubernetes".into(),
            ttl,
            crl: None,
        }),
    })
}

fn by_spire(spire: &Spire) -> GatewayIdentity {
    GatewayIdentity {
        trust_domain: "one.test".into(),
        spiffe_id: None,
        profile: PeerProfile::SpiffeStrict,
        source: IdentitySource::WorkloadApi { socket: spire.socket().into() },
    }
}

async fn obtained(identity: &Identity) -> Result<()> {
    let waited = until("an SVID", PATIENCE, async || identity.material().is_some()).await;
    waited.map_err(|error| error.context(format!("{:?}", identity.status())))
}

fn serial(identity: &Identity) -> String {
    identity.material().map(|material| material.svid.serial().to_owned()).unwrap_or_default()
}

/// The roots of the own trust domain, as DER.
fn roots(identity: &Identity) -> Vec<Vec<u8>> {
    let Some(material) = identity.material() else { return Vec::new() };
    let own = material.bundles.0.iter().find(|(domain, _)| domain.as_str() == "cluster.local");
    own.map(|(_, bundle)| bundle.x509.iter().map(|root| root.to_vec()).collect()).unwrap_or_default()
}

fn der(pem: &str) -> Result<Vec<u8>> {
    let bundle = identity::TrustBundle::from_pem(pem)?;
    Ok(bundle.x509.first().map(|root| root.to_vec()).unwrap_or_default())
}

#[tokio::test]
async fn istiod_gives_and_renews() -> Result<()> {
    let authority = Authority::new("one", HOUR)?;
    let istiod = Istiod::start(&authority, HOUR).await?;
    let spec = by_istiod(&istiod, 15012, Duration::from_secs(6))?;
    let (identity, _running) = start(&"default/edge".into(), &spec, SourceContext::default());
    obtained(&identity).await?;
    let material = identity.material().expect("it was there just now");
    assert_eq!(material.svid.id().as_str(), GATEWAY);
    assert_eq!(roots(&identity), [der(authority.root())?], "the mesh's root and nothing else");
    for _ in 0..2 {
        let before = serial(&identity);
        until("another SVID", PATIENCE, async || {
            !["", before.as_str()].contains(&serial(&identity).as_str())
        })
        .await?;
    }
    assert_eq!(identity.status().failures, 0, "{:?}", identity.status());
    Ok(())
}

#[tokio::test]
async fn a_short_lived_signer_ends_what_it_signed() -> Result<()> {
    let authority = Authority::new("one", Duration::from_secs(14))?;
    let end = SystemTime::now() + Duration::from_secs(14);
    let istiod = Istiod::start(&authority, HOUR).await?;
    let spec = by_istiod(&istiod, 15012, HOUR)?;
    let (identity, _running) = start(&"default/edge".into(), &spec, SourceContext::default());
    obtained(&identity).await?;
    let until_when = identity.material().map(|material| material.svid.not_after());
    ensure!(until_when.is_some_and(|when| when <= end), "an SVID outlives its signer: {until_when:?}");
    until("the end of the SVID", PATIENCE, async || identity.material().is_none()).await?;
    assert!(SystemTime::now() + Duration::from_secs(2) >= end, "not given up early");
    // The signer itself has ended: istiod says so once it is asked again.
    until("a refusal", PATIENCE, async || identity.status().last_error.is_some()).await
}

#[tokio::test]
async fn istiod_comes_back_with_another_root() -> Result<()> {
    let (one, two) = (Authority::new("one", HOUR)?, Authority::new("two", HOUR)?);
    let mut istiod = Istiod::start(&one, HOUR).await?;
    let spec = by_istiod(&istiod, 15012, HOUR)?;
    let (identity, running) = start(&"default/edge".into(), &spec, SourceContext::default());
    obtained(&identity).await?;
    let before = serial(&identity);
    istiod.restart(&two, HOUR).await?;
    running.renew();
    until("a refusal", PATIENCE, async || identity.status().failures > 0).await?;
    assert_eq!(serial(&identity), before, "the last good SVID stays: {:?}", identity.status());
    istiod.place.write("root.pem", two.root())?;
    until("an SVID of the new root", PATIENCE, async || {
        running.renew();
        serial(&identity) != before
    })
    .await?;
    assert_eq!(roots(&identity), [der(two.root())?], "the old root is gone: {:?}", identity.status());
    Ok(())
}

#[tokio::test]
async fn istiod_refuses_bad_tokens_and_we_refuse_bad_roots() -> Result<()> {
    let authority = Authority::new("one", HOUR)?;
    let istiod = Istiod::start(&authority, HOUR).await?;
    let spec = by_istiod(&istiod, 15012, HOUR)?;
    let wrong = Claims { audience: "somebody", ..Claims::default() };
    let expired = Claims { life: Duration::ZERO, ..Claims::default() };
    let another = Claims { account: ("default", "somebody"), ..Claims::default() };
    for claims in [wrong, expired, another] {
        let token = istiod.tokens.token(&claims)?;
        istiod.place.write("token", &token)?;
        let (identity, running) = start(&"default/edge".into(), &spec, SourceContext::default());
        until("a refusal", PATIENCE, async || identity.status().failures > 0).await?;
        assert!(identity.material().is_none(), "{claims:?}: {:?}", identity.status());
        let told = format!("{:?}", identity.status());
        assert!(!told.contains(&token), "the token is a secret: {told}");
        // The token is read anew for every call.
        istiod.token("token", &Claims::default())?;
        running.renew();
        obtained(&identity).await?;
    }
    let stranger = Authority::new("two", HOUR)?;
    istiod.place.write("root.pem", stranger.root())?;
    let (identity, running) = start(&"default/edge".into(), &spec, SourceContext::default());
    until("a refusal", PATIENCE, async || identity.status().failures > 0).await?;
    assert!(identity.material().is_none(), "{:?}", identity.status());
    istiod.place.write("root.pem", authority.root())?;
    running.renew();
    obtained(&identity).await
}

#[tokio::test]
async fn a_ca_that_is_away_hangs_is_slow_or_lies_costs_nothing_at_once() -> Result<()> {
    let authority = Authority::new("one", HOUR)?;
    let istiod = Istiod::start(&authority, HOUR).await?;
    let relay = StandIn::start(istiod.place.at(15112), istiod.address()).await?;
    let spec = by_istiod(&istiod, 15112, HOUR)?;
    let (identity, running) = start(&"default/edge".into(), &spec, SourceContext::default());
    obtained(&identity).await?;
    for mode in [Mode::Refuse, Mode::Nonsense, Mode::BlackHole] {
        let (before, failures) = (serial(&identity), identity.status().failures);
        relay.set(mode);
        running.renew();
        until("a failure", PATIENCE, async || identity.status().failures > failures).await?;
        let status = identity.status();
        assert_eq!(serial(&identity), before, "{mode:?}: the last good SVID stays");
        assert!(status.last_error.is_some(), "{mode:?}: {status:?}");
        relay.set(Mode::Pass);
        until("an SVID", PATIENCE, async || {
            running.renew();
            serial(&identity) != before
        })
        .await?;
        assert!(identity.status().last_error.is_none(), "{mode:?}: {:?}", identity.status());
    }
    let before = serial(&identity);
    relay.set(Mode::Slow(Duration::from_secs(1)));
    running.renew();
    until("an SVID, slowly", PATIENCE, async || serial(&identity) != before).await?;
    Ok(())
}

#[tokio::test]
async fn spire_gives_renews_and_takes_back() -> Result<()> {
    let mut spire = Spire::start("one.test").await?;
    spire.start_agent().await?;
    spire.register("/ns/edge/sa/gw", 10, &[]).await?;
    let (identity, _running) = start(&"default/edge".into(), &by_spire(&spire), SourceContext::default());
    obtained(&identity).await?;
    let material = identity.material().expect("it was there just now");
    assert_eq!(material.svid.id().as_str(), "spiffe://one.test/ns/edge/sa/gw");
    let before = serial(&identity);
    until("another SVID", PATIENCE, async || !["", before.as_str()].contains(&serial(&identity).as_str()))
        .await?;
    spire.unregister("/ns/edge/sa/gw").await?;
    until("the end of the identity", PATIENCE, async || identity.material().is_none()).await?;
    // Long enough before it would have expired: it was taken back.
    spire.register("/ns/edge/sa/gw", 3600, &[]).await?;
    obtained(&identity).await
}

#[tokio::test]
async fn spire_redacts_a_long_lived_identity() -> Result<()> {
    let mut spire = Spire::start("one.test").await?;
    spire.start_agent().await?;
    spire.register("/ns/edge/sa/gw", 600, &[]).await?;
    let (identity, _running) = start(&"default/edge".into(), &by_spire(&spire), SourceContext::default());
    obtained(&identity).await?;
    spire.stop_agent().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        identity.material().is_some(),
        "an agent that is away takes nothing back: {:?}",
        identity.status()
    );
    spire.start_agent().await?;
    spire.unregister("/ns/edge/sa/gw").await?;
    until("the end of the identity", PATIENCE, async || identity.material().is_none()).await
}

#[tokio::test]
async fn spire_brings_the_bundles_of_others() -> Result<()> {
    let (mut one, two) = (Spire::start("one.test").await?, Spire::start("two.test").await?);
    one.start_agent().await?;
    one.federate(&two).await?;
    one.register("/ns/edge/sa/gw", 600, &["two.test"]).await?;
    let (identity, _running) = start(&"default/edge".into(), &by_spire(&one), SourceContext::default());
    let domains = || -> Vec<String> {
        let material = identity.material();
        material.iter().flat_map(|material| material.bundles.0.keys().map(ToString::to_string)).collect()
    };
    until("both bundles", PATIENCE, async || domains().len() == 2).await?;
    assert!(
        domains().iter().all(|name| name.ends_with("one.test") || name.ends_with("two.test")),
        "{:?}",
        domains()
    );
    one.unregister("/ns/edge/sa/gw").await?;
    one.register("/ns/edge/sa/gw", 600, &[]).await?;
    until("the own bundle alone", PATIENCE, async || domains().len() == 1).await
}
