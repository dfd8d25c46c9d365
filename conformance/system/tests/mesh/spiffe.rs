//! The gateway among go-spiffe workloads, its identity from SPIRE, in one trust domain and across two.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use system::mesh::canary::Canary;
use system::mesh::workload::{GoServer, go_spiffe};
use system::mesh::{Spire, objects, program};
use system::{Gateway, gateway, run, until};

use crate::istio::check_silence;

const GATEWAY: &str = "spiffe://one.test/ns/edge/sa/gw";
const PATIENCE: Duration = Duration::from_secs(40);

/// SPIRE for `one.test`, a go-spiffe workload and the gateway in front of it.
struct World {
    spire: Spire,
    gateway: Gateway,
    workload: GoServer,
}

fn go_path() -> Result<PathBuf> {
    Ok(program::path("go-spiffe")?.canonicalize()?)
}

impl World {
    /// `peers` may call the gateway; `federates` are believed by it.
    async fn new(mut spire: Spire, peers: &str, federates: &[&str]) -> Result<Self> {
        spire.start_agent().await?;
        let ours = gateway::binary()?.canonicalize()?;
        spire.register_program("/ns/edge/sa/gw", 600, federates, &ours).await?;
        spire.register_program("/ns/shop/sa/cart", 600, federates, &go_path()?).await?;
        let workload = GoServer::start(&spire.socket(), GATEWAY).await?;
        let mesh = format!(
            "{{kind: Spiffe, trustDomain: one.test, identity: {{workloadAPI: {{socket: \"{}\"}}}}}}",
            spire.socket()
        );
        let gateway = Gateway::start(&objects::gateway(&mesh, peers)).await?;
        let cart = objects::cart(workload.place.at(8443), "cart", "app: cart");
        gateway.write("cart.yaml", &format!("{cart}---{}", policy("spiffe://one.test/ns/shop/sa/cart")))?;
        let world = Self { spire, gateway, workload };
        let url = world.url(8080);
        until("an answer", PATIENCE, async || run("curl", &["-sSf", &url]).await.is_ok())
            .await
            .with_context(|| world.gateway.log())?;
        Ok(world)
    }

    fn url(&self, port: u16) -> String {
        let scheme = if port == 8443 { "https" } else { "http" };
        format!("{scheme}://{}/", self.gateway.place.at(port))
    }

    /// Asks the mesh listener by go-spiffe with the SVID of a Workload API; gives what the workload saw.
    async fn call(&self, socket: &str, server: &str) -> Result<Value> {
        let url = self.url(8443);
        let said = go_spiffe(&["get", "-socket", socket, "-peer", server, "-url", &url]).await?;
        let answer = said.first().context("an answer")?;
        anyhow::ensure!(answer.pointer("/status") == Some(&200.into()), "{answer}");
        Ok(serde_json::from_str(answer.pointer("/body").and_then(Value::as_str).unwrap_or_default())?)
    }
}

fn policy(peer: &str) -> String {
    format!(
        "\napiVersion: diolkos.io/v1alpha1\nkind: BackendPolicy\nmetadata: {{name: cart}}\nspec:\n  \
         targetRefs: [{{kind: Service, name: cart}}]\n  mesh: {{mode: Spiffe, peers: [{{spiffeID: \"{peer}\"}}]}}\n"
    )
}

#[tokio::test]
async fn a_go_workload_behind_and_one_in_front() -> Result<()> {
    let world = World::new(Spire::start("one.test").await?, "{trustDomain: one.test}", &[]).await?;
    let socket = world.spire.socket();
    let seen = world.call(&socket, GATEWAY).await?;
    assert_eq!(seen.pointer("/peer").and_then(Value::as_str), Some(GATEWAY), "whom the workload saw: {seen}");
    let caller =
        seen.pointer("/headers/X-Forwarded-Client-Cert/0").and_then(Value::as_str).unwrap_or_default();
    assert!(caller.contains("URI=spiffe://one.test/ns/shop/sa/cart"), "who called the gateway: {seen}");
    // The client expects somebody else; the gateway expects somebody else.
    assert!(world.call(&socket, "spiffe://one.test/ns/edge/sa/other").await.is_err());
    let cart = objects::cart(world.workload.place.at(8443), "cart", "app: cart");
    world
        .gateway
        .write("cart.yaml", &format!("{cart}---{}", policy("spiffe://one.test/ns/shop/sa/other")))?;
    let url = world.url(8080);
    until("a refusal", PATIENCE, async || {
        run("curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url])
            .await
            .is_ok_and(|code| code == "503")
    })
    .await?;
    let mut canary = Canary::default();
    canary.learn_folder(world.spire.place.folder());
    check_silence(&canary, &world.gateway).await
}

#[tokio::test]
async fn a_federated_workload_is_let_in_while_it_is_federated() -> Result<()> {
    let (one, mut two) = (Spire::start("one.test").await?, Spire::start("two.test").await?);
    one.federate(&two).await?;
    two.federate(&one).await?;
    two.start_agent().await?;
    two.register_program("/ns/bank/sa/teller", 600, &["one.test"], &go_path()?).await?;
    let world = World::new(one, "{trustDomain: two.test, namespace: bank}", &["two.test"]).await?;
    until("a call across the domains", PATIENCE, async || world.call(&two.socket(), GATEWAY).await.is_ok())
        .await
        .with_context(|| world.gateway.log())?;
    let seen = world.call(&two.socket(), GATEWAY).await?;
    let caller =
        seen.pointer("/headers/X-Forwarded-Client-Cert/0").and_then(Value::as_str).unwrap_or_default();
    assert!(caller.contains("URI=spiffe://two.test/ns/bank/sa/teller"), "{seen}");
    // Its own domain is no peer of this listener.
    assert!(world.call(&world.spire.socket(), GATEWAY).await.is_err());
    world.spire.unregister("/ns/edge/sa/gw").await?;
    let ours = gateway::binary()?.canonicalize()?;
    world.spire.register_program("/ns/edge/sa/gw", 600, &[], &ours).await?;
    until("the end of the federation", PATIENCE, async || world.call(&two.socket(), GATEWAY).await.is_err())
        .await?;
    let mut canary = Canary::default();
    canary.learn_folder(world.spire.place.folder());
    check_silence(&canary, &world.gateway).await
}
