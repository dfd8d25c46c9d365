//! Our issuer with foreign clients: Istio's CA client and agent, go-spiffe, py-spiffe, SPIRE.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system::mesh::canary::Canary;
use system::mesh::issuer::SERVER_NAME;
use system::mesh::tokens::{Claims, ISSUER, Tokens};
use system::mesh::{Authority, Issuer, Spire, objects, workload};
use system::{Gateway, Peer, Place, retry, until};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const PATIENCE: Duration = Duration::from_secs(40);

/// The process that asks, by user: that of the tests.
pub(crate) fn registration(uid: &str, ttl: &str) -> String {
    REGISTRATION.replace("UID", uid).replace("TTL", ttl)
}

/// The user that the tests run as.
pub(crate) async fn uid() -> Result<String> {
    Ok(system::run("id", &["-u"]).await?.trim().to_owned())
}

pub(crate) async fn with_tokens() -> Result<(Issuer, Tokens)> {
    let place = Place::new()?;
    let tokens = Tokens::start(place.at(8090)).await?;
    place.write("jwks.json", &tokens.document()?)?;
    let arguments = ["--jwks", "DIR/jwks.json", "--jwt-issuer", ISSUER, "--audience", "istio-ca"];
    let objects = registration(&uid().await?, "1h");
    Ok((Issuer::start_at(place, &objects, &arguments).await?, tokens))
}

/// A value that a foreign client has said.
fn said<'a>(lines: &'a [Value], path: &str) -> &'a str {
    lines.first().and_then(|line| line.pointer(path)).and_then(Value::as_str).unwrap_or_default()
}

fn path(issuer: &Issuer, name: &str) -> String {
    issuer.place.folder().join(name).display().to_string()
}

/// Nothing that the issuer has said anywhere holds a private key.
async fn check_silence(issuer: &Issuer) -> Result<()> {
    let mut canary = Canary::default();
    ensure!(
        canary.learn_folder(&issuer.place.folder().join("state")) > 0,
        "the root's key lies in the state"
    );
    for (name, text) in [
        ("the log", issuer.log()),
        ("/status", issuer.page("/status").await?),
        ("/bundle", issuer.page("/bundle").await?),
        ("the metrics", issuer.metrics().await?),
    ] {
        canary.check(name, &text)?;
    }
    Ok(())
}

#[tokio::test]
async fn istios_client_is_certified_as_who_its_token_says() -> Result<()> {
    let (issuer, tokens) = with_tokens().await?;
    let (ca, roots) = (issuer.place.at(15012).to_string(), issuer.roots().await?.display().to_string());
    let token = |name: &str, claims: &Claims| -> Result<String> {
        Ok(issuer.place.write(name, &tokens.token(claims)?)?.display().to_string())
    };
    let web = Claims { account: ("shop", "web"), ..Claims::default() };
    let good = token("good", &web)?;
    let base = ["-ca", &ca, "-san", SERVER_NAME, "-roots", &roots];
    for (key, name) in [("ecdsa", ""), ("ecdsa", WEB), ("rsa", WEB)] {
        let asked = ["-token", &good, "-key", key, "-name", name];
        let (given, chain) = workload::ca_client(&[&base[..], &asked].concat()).await?;
        ensure!(given, "{key}: {chain}\n{}", issuer.log());
        let facts = workload::facts(&chain).await?;
        assert!(facts.contains(&format!("URI:{WEB}")), "{facts}");
    }
    // A certificate that is still good renews itself, without a token; a stranger's does not.
    let mut canary = Canary::default();
    let (chain_file, key_file) = (path(&issuer, "chain.pem"), path(&issuer, "key.pem"));
    let (_, chain) =
        workload::ca_client(&[&base[..], &["-token", &good, "-key-out", &key_file]].concat()).await?;
    issuer.place.write("chain.pem", &chain)?;
    let renewal = ["-chain", &chain_file, "-chain-key", &key_file];
    let (given, chain) = workload::ca_client(&[&base[..], &renewal].concat()).await?;
    ensure!(given && workload::facts(&chain).await?.contains(&format!("URI:{WEB}")), "{chain}");
    canary.learn(&std::fs::read_to_string(&key_file)?);
    canary.check("the log", &issuer.log())?;
    let stranger = Authority::new("two", Duration::from_secs(3600))?.svid(WEB)?;
    issuer.place.write("chain.pem", &stranger.chain)?;
    issuer.place.write("key.pem", &stranger.key)?;
    let (given, reason) = workload::ca_client(&[&base[..], &renewal].concat()).await?;
    assert!(!given, "{reason}");

    let wrong = token("audience", &Claims { audience: "somebody", ..web.clone() })?;
    let expired = token("expired", &Claims { life: Duration::ZERO, ..web.clone() })?;
    let stranger = token("stranger", &Claims { issuer: "https://elsewhere.example", ..web.clone() })?;
    let forger = Tokens::start(issuer.place.at(8091)).await?.token(&web)?;
    let forged = issuer.place.write("forged", &forger)?.display().to_string();
    let refused: [(&[&str], &str); 7] = [
        (&["-token", &good, "-name", "spiffe://cluster.local/ns/kube-system/sa/admin"], "PermissionDenied"),
        (&["-token", &wrong], "Unauthenticated"),
        (&["-token", &expired], "Unauthenticated"),
        (&["-token", &stranger], "Unauthenticated"),
        (&["-token", &forged], "Unauthenticated"),
        (&["-token", &good, "-cluster", "another"], "Unauthenticated"),
        (&["-token", &good, "-ttl", "48h"], "InvalidArgument"),
    ];
    for (asked, code) in refused {
        let (given, reason) = workload::ca_client(&[&base[..], asked].concat()).await?;
        assert!(!given && reason.contains(code), "{asked:?}: {reason}");
        assert!(
            !reason.contains("elsewhere") && !reason.contains(&forger),
            "the reason is for the log: {reason}"
        );
    }
    // Roots of somebody else: the client does not go on, and so the token stays with it.
    let other = Authority::new("two", Duration::from_secs(3600))?;
    let other = issuer.place.write("other.pem", other.root())?.display().to_string();
    let (given, reason) =
        workload::ca_client(&["-ca", &ca, "-san", SERVER_NAME, "-roots", &other, "-token", &good]).await?;
    assert!(!given, "{reason}");
    check_silence(&issuer).await
}

#[tokio::test]
async fn istios_agent_keeps_a_certificate_of_ours() -> Result<()> {
    let (issuer, tokens) = with_tokens().await?;
    let token = tokens.token(&Claims { account: ("shop", "cart"), ..Claims::default() })?;
    let roots = std::fs::read_to_string(issuer.roots().await?)?;
    let ca = issuer.place.at(15012).to_string();
    let mut agent = workload::PilotAgent::start(&ca, &roots, &token, "20s").await?;
    let first = agent.certificate("").await.with_context(|| issuer.log())?;
    let facts = workload::facts(&first).await?;
    assert!(facts.contains("URI:spiffe://cluster.local/ns/shop/sa/cart"), "{facts}");
    agent.certificate(&first).await?;
    check_silence(&issuer).await
}

#[tokio::test]
async fn go_and_python_get_their_svids() -> Result<()> {
    let uid = uid().await?;
    let issuer = Issuer::start(&registration(&uid, "8s"), &[]).await?;
    let socket = issuer.socket();
    let watched =
        retry(PATIENCE, async || workload::go_spiffe(&["watch", "-socket", &socket, "-updates", "3"]).await)
            .await
            .with_context(|| issuer.log())?;
    let serials: Vec<&str> =
        watched.iter().filter_map(|line| line.pointer("/svids/0/serial").and_then(Value::as_str)).collect();
    assert!(serials.len() == 3 && serials.windows(2).all(|pair| pair[0] != pair[1]), "renewed: {watched:?}");
    assert_eq!(said(&watched, "/svids/0/id"), WEB);
    let python = workload::py_spiffe(&socket, &["watch", "2"]).await?;
    assert_eq!(said(&python, "/svids/0/id"), WEB, "{python:?}");
    let roots =
        |lines: &[Value]| lines.first().and_then(|line| line.pointer("/bundles/cluster.local")).cloned();
    assert_eq!(roots(&watched), roots(&python), "both see the same roots");

    for (id, server) in [
        workload::go_spiffe(&["jwt", "-socket", &socket, "-audience", "reports"]).await?,
        workload::py_spiffe(&socket, &["jwt", "reports"]).await?,
    ]
    .iter()
    .map(|lines| (said(lines, "/id").to_owned(), said(lines, "/server").to_owned()))
    {
        assert_eq!((id.as_str(), server.as_str()), (WEB, WEB));
    }
    let forged = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzcGlmZmU6Ly9jbHVzdGVyLmxvY2FsL2EifQ.AAAA";
    let refused =
        workload::go_spiffe(&["jwt", "-socket", &socket, "-audience", "reports", "-token", forged]).await;
    assert!(refused.is_err(), "{refused:?}");

    // Another user's registration is not ours.
    issuer.write(&registration("54321", "8s"))?;
    until("no identity", PATIENCE, async || {
        let answer = workload::go_spiffe(&["x509", "-socket", &socket]).await;
        answer.is_err_and(|error| error.to_string().contains("PermissionDenied"))
    })
    .await?;
    assert!(workload::py_spiffe(&socket, &["x509"]).await.is_err());
    check_silence(&issuer).await
}

#[tokio::test]
async fn a_bundle_endpoint_is_read_by_go() -> Result<()> {
    let issuer = Issuer::start("", &[]).await?;
    let (bundle, url) =
        (issuer.bundle().await?.display().to_string(), format!("https://{}", issuer.place.at(8443)));
    let base = ["bundle", "-trust-domain", "cluster.local", "-url", &url];
    let id = "spiffe://cluster.local/diolkos/issuer";
    let read = workload::go_spiffe(&[&base[..], &["-bundle", &bundle, "-peer", id]].concat())
        .await
        .with_context(|| issuer.log())?;
    let first = read.first().context("a bundle")?;
    assert!(first.pointer("/x509/0").is_some(), "{first}");
    assert!(first.pointer("/jwt").and_then(Value::as_u64) > Some(0), "{first}");
    assert!(first.pointer("/sequence").and_then(Value::as_u64) > Some(0), "{first}");
    assert!(first.pointer("/refreshHint").and_then(Value::as_f64) > Some(0.0), "{first}");
    let wrong = "spiffe://cluster.local/somebody";
    let refused = workload::go_spiffe(&[&base[..], &["-bundle", &bundle, "-peer", wrong]].concat()).await;
    assert!(refused.is_err(), "another server ID: {refused:?}");

    let place = Place::new()?;
    let web = Authority::new("web", Duration::from_secs(3600))?;
    let svid = web.server(&place.ip().to_string())?;
    place.write("web.crt", &svid.chain)?;
    place.write("web.key", &svid.key)?;
    let roots = place.write("web-roots.pem", web.root())?.display().to_string();
    let files = ["--bundle-cert", "DIR/web.crt", "--bundle-key", "DIR/web.key"];
    let issuer = Issuer::start_at(place, "", &files).await?;
    let url = format!("https://{}", issuer.place.at(8443));
    let base = ["bundle", "-trust-domain", "cluster.local", "-url", &url];
    let read = workload::go_spiffe(&[&base[..], &["-roots", &roots]].concat())
        .await
        .with_context(|| issuer.log())?;
    assert!(read.first().is_some_and(|bundle| bundle.pointer("/x509/0").is_some()), "{read:?}");
    check_silence(&issuer).await
}

#[tokio::test]
async fn spire_and_we_federate() -> Result<()> {
    let mut spire = Spire::start("one.test").await?;
    let uid = uid().await?;
    let document = spire.bundle().await?;
    let federated = FEDERATED
        .replace("URL", &format!("https://{}", spire.place.at(8443)))
        .replace("BUNDLE", &serde_json::to_string(&document)?);
    let objects = format!("{}---{federated}", registration(&uid, "1h"));
    let issuer = Issuer::start(&objects, &[]).await?;
    // Their bundle reaches our workloads.
    until("the bundle of one.test", PATIENCE, async || {
        let seen = workload::go_spiffe(&["x509", "-socket", &issuer.socket()]).await.unwrap_or_default();
        seen.first().is_some_and(|line| line.pointer("/bundles/one.test/0").is_some())
    })
    .await
    .with_context(|| issuer.log())?;
    // Ours reaches theirs.
    let ours = issuer.bundle().await?.display().to_string();
    let url = format!("https://{}", issuer.place.at(8443));
    let mut arguments =
        vec!["federation", "create", "-trustDomain", "cluster.local", "-bundleEndpointURL", &url];
    arguments.extend(["-bundleEndpointProfile", "https_spiffe"]);
    arguments.extend(["-endpointSpiffeID", "spiffe://cluster.local/diolkos/issuer"]);
    arguments.extend(["-trustDomainBundleFormat", "spiffe", "-trustDomainBundlePath", &ours]);
    spire.ask(&arguments).await?;
    spire.start_agent().await?;
    spire.register("/ns/edge/sa/gw", 600, &["cluster.local"]).await?;
    until("the bundle of cluster.local", PATIENCE, async || {
        let seen = workload::go_spiffe(&["x509", "-socket", &spire.socket()]).await.unwrap_or_default();
        seen.first().is_some_and(|line| line.pointer("/bundles/cluster.local/0").is_some())
    })
    .await?;
    // SPIRE fetches from us, and finds nothing to complain of.
    spire.ask(&["federation", "refresh", "-id", "cluster.local"]).await?;
    until("a fetch by SPIRE", PATIENCE, async || spire.log().contains("Bundle refreshed")).await?;
    assert!(!spire.log().contains("Error updating bundle"), "{}", spire.log());
    check_silence(&issuer).await
}

#[tokio::test]
async fn a_crash_makes_no_second_root() -> Result<()> {
    let uid = uid().await?;
    let mut issuer = Issuer::start(&registration(&uid, "1h"), &[]).await?;
    let before = issuer.page("/bundle").await?;
    issuer.restart().await?;
    let keys =
        |text: &str| -> Option<Value> { serde_json::from_str::<Value>(text).ok()?.get("keys").cloned() };
    assert_eq!(keys(&before), keys(&issuer.page("/bundle").await?));
    let mode = system::run(
        "sh",
        &["-c", &format!("stat -c %a {}/* | sort -u", issuer.place.folder().join("state").display())],
    )
    .await?;
    assert!(mode.lines().all(|mode| ["600", "700"].contains(&mode)), "{mode}");
    check_silence(&issuer).await
}

#[tokio::test]
async fn an_issuer_that_hangs_costs_nothing_at_once() -> Result<()> {
    let uid = uid().await?;
    let issuer =
        Issuer::start(&registration(&uid, "12s").replace("/ns/shop/sa/web", "/ns/shop/sa/edge"), &[]).await?;
    let mesh = format!("{{kind: Spiffe, identity: {{workloadAPI: {{socket: \"{}\"}}}}}}", issuer.socket());
    let gateway = Gateway::start(&objects::gateway(&mesh, "{trustDomain: cluster.local}")).await?;
    let echo = Peer::echo("cart").await?;
    gateway.write("cart.yaml", &objects::cart(echo.place.at(3000), "cart", "app: cart"))?;
    let url = format!("https://{}/", gateway.place.at(8443));
    let edge = "spiffe://cluster.local/ns/shop/sa/edge";
    let call = async || {
        workload::go_spiffe(&["get", "-socket", &issuer.socket(), "-peer", edge, "-url", &url]).await
    };
    retry(PATIENCE, call).await.with_context(|| gateway.log())?;
    let ready = async |wanted: bool| {
        let page = gateway.page("/identities").await.unwrap_or_default();
        page.contains(&format!("\"ready\":{wanted}")) || page.contains(&format!("\"ready\": {wanted}"))
    };
    assert!(ready(true).await, "{:?}", gateway.page("/identities").await);
    issuer.signal("STOP").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ready(true).await, "the last good SVID is served");
    let waited = until("the end of the SVID", PATIENCE, async || ready(false).await).await;
    issuer.signal("CONT").await?;
    waited?;
    until("another SVID", PATIENCE, async || ready(true).await).await?;
    retry(PATIENCE, call).await.with_context(|| gateway.log())?;
    check_silence(&issuer).await
}

const REGISTRATION: &str = r#"
apiVersion: diolkos.io/v1alpha1
kind: WorkloadRegistration
metadata: {name: web, namespace: shop}
spec: {spiffeID: "spiffe://cluster.local/ns/shop/sa/web", selectors: {unix: {uid: UID}}, ttl: TTL}
"#;

const FEDERATED: &str = r#"
apiVersion: diolkos.io/v1alpha1
kind: FederatedTrustDomain
metadata: {name: one}
spec:
  trustDomain: one.test
  endpoint: {url: "URL", profile: https_spiffe, serverID: spiffe://one.test/spire/server}
  bootstrap: {configMap: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: diolkos-system}
data: {bundle.json: BUNDLE}
"#;
