//! Everybody's certificate and then the root change under load: issuer, gateway, a go-spiffe workload, and clients.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use identity::{Identity, Running, SourceContext};
use model::{GatewayIdentity, IdentitySource, PeerProfile};
use serde_json::Value;

use super::load::{Load, Outcome, Pace};
use super::workload::GoServer;
use super::{Authority, Issuer, objects, program};
use crate::{Gateway, Place, gateway, run, until};

/// All that takes part. Each has its SVID from the issuer's Workload API; the issuer tells them apart by their programs.
#[derive(Debug)]
pub struct Rotation {
    /// The issuer.
    pub issuer: Issuer,
    /// The gateway, with a mesh listener in front of a mesh workload.
    pub gateway: Gateway,
    client: Identity,
    _running: Running,
    _workload: GoServer,
}

/// What a phase came to.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The load.
    pub outcome: Outcome,
    /// How often the gateway's identity has changed.
    pub changes: u64,
}

impl Rotation {
    /// Starts everything. SVIDs live for `ttl`, so that they are renewed every half of it.
    pub async fn start(ttl: Duration) -> Result<Self> {
        let life = seconds(ttl);
        let issuer = Issuer::start("", &["--ttl", &life, "--max-ttl", &life, "--ca-ttl", "1h"]).await?;
        Self::around(issuer, ttl).await
    }

    /// The same below a CA that somebody else writes to files, as Istio's `cacerts`.
    pub async fn start_below(authority: &Authority, ttl: Duration) -> Result<Self> {
        let (place, life) = (Place::new()?, seconds(ttl));
        authority.write_cacerts(&place.folder().join(CA_FILES), &[])?;
        let files = format!("DIR/{CA_FILES}");
        let arguments = ["--ttl", &life, "--max-ttl", &life, "--ca-files", &files];
        Self::around(Issuer::start_at(place, "", &arguments).await?, ttl).await
    }

    async fn around(issuer: Issuer, ttl: Duration) -> Result<Self> {
        issuer.write(&registrations(&seconds(ttl)).await?)?;
        let socket = issuer.socket();
        let workload = GoServer::start(&socket, EDGE).await.with_context(|| issuer.log())?;
        let mesh = format!("{{kind: Spiffe, identity: {{workloadAPI: {{socket: \"{socket}\"}}}}}}");
        let gateway =
            Gateway::start(&objects::gateway(&mesh, &format!("{{spiffeID: \"{CLIENT}\"}}"))).await?;
        let cart = objects::cart(workload.place.at(8443), "cart", "app: cart");
        gateway.write("cart.yaml", &format!("{cart}---{POLICY}"))?;
        let spec = GatewayIdentity {
            trust_domain: "cluster.local".into(),
            spiffe_id: Some(CLIENT.into()),
            profile: PeerProfile::SpiffeStrict,
            source: IdentitySource::WorkloadApi { socket: socket.into() },
        };
        let (client, running) = identity::start(&"clients".into(), &spec, SourceContext::default());
        let rotation = Self { issuer, gateway, client, _running: running, _workload: workload };
        rotation.ready().await?;
        Ok(rotation)
    }

    async fn ready(&self) -> Result<()> {
        let waited = until("an answer", Duration::from_secs(40), async || {
            let Ok(load) = self.load(Pace { rate: 50, connections: 1, per_connection: 1 }) else {
                return false;
            };
            tokio::time::sleep(Duration::from_millis(200)).await;
            let outcome = load.stop().await;
            outcome.check().is_ok()
        });
        waited.await.with_context(|| {
            format!("{}\n{}\n{:?}", self.issuer.log(), self.gateway.log(), self.client.status())
        })
    }

    /// Begins to ask the gateway.
    pub fn load(&self, pace: Pace) -> Result<Load> {
        Load::start(&self.client, &[EDGE], self.gateway.place.at(8443), pace)
    }

    /// Asks for a while, while leaves are renewed.
    pub async fn leaves(&self, pace: Pace, length: Duration) -> Result<Phase> {
        let before = self.generation().await?;
        let load = self.load(pace)?;
        tokio::time::sleep(length).await;
        let outcome = load.stop().await;
        Ok(Phase { outcome, changes: self.generation().await? - before })
    }

    /// Rotates the root with overlap while it asks, until everybody has certificates of the new one and has used them.
    pub async fn root(&self, pace: Pace) -> Result<Phase> {
        self.change(pace, async || self.issuer.rotate_root(false).await.map(drop)).await
    }

    /// Puts another intermediate into the CA's files while it asks; otherwise like [`Self::root`].
    pub async fn intermediate(&self, pace: Pace, authority: &Authority) -> Result<Phase> {
        let folder = self.issuer.place.folder().join(CA_FILES);
        self.change(pace, async || authority.write_cacerts(&folder, &[])).await
    }

    async fn change(&self, pace: Pace, change: impl AsyncFnOnce() -> Result<()>) -> Result<Phase> {
        let (before, old) = (self.generation().await?, self.issuers().await?);
        let load = self.load(pace)?;
        change().await?;
        until("certificates of another issuer", Duration::from_secs(90), async || {
            let Ok(new) = self.issuers().await else { return false };
            new.iter().zip(&old).all(|(new, old)| new != old)
        })
        .await
        .with_context(|| self.issuer.log())?;
        // The last leaves of the old one end, and those of the new one carry traffic for a while.
        tokio::time::sleep(SETTLE).await;
        let outcome = load.stop().await;
        Ok(Phase { outcome, changes: self.generation().await? - before })
    }

    /// Who has issued the gateway's certificate and the clients'.
    async fn issuers(&self) -> Result<[String; 2]> {
        let page: Value = serde_json::from_str(&self.gateway.page("/identities").await?)?;
        let gateway = find(&page, "issuer").and_then(Value::as_str).context("an issuer")?;
        let client = self.client.status().issuer.context("the clients have a certificate")?;
        Ok([gateway.to_owned(), client])
    }

    /// How often the gateway's identity has changed since it started.
    async fn generation(&self) -> Result<u64> {
        let page: Value = serde_json::from_str(&self.gateway.page("/identities").await?)?;
        find(&page, "generation").and_then(Value::as_u64).with_context(|| format!("no generation in {page}"))
    }
}

/// The first value of this name, however deep.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(name).or_else(|| map.values().find_map(|inner| find(inner, name))),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// One registration for each program that takes part.
async fn registrations(ttl: &str) -> Result<String> {
    let uid = run("id", &["-u"]).await?;
    let programs: [(&str, PathBuf); 3] = [
        ("edge-diolkos", gateway::binary()?.canonicalize()?),
        ("cart", program::path("go-spiffe")?.canonicalize()?),
        ("client", std::env::current_exe()?.canonicalize()?),
    ];
    ensure!(programs[0].1 != programs[2].1, "the load must be a program of its own");
    let each = programs.iter().map(|(name, path)| {
        let text = REGISTRATION.replace("NAME", name).replace("UID", uid.trim()).replace("TTL", ttl);
        text.replace("PATH", &path.display().to_string())
    });
    Ok(each.collect::<Vec<_>>().join("---"))
}

/// Where the CA's files lie, below the issuer's folder.
const CA_FILES: &str = "ca";
/// Longer than a certificate lives.
const SETTLE: Duration = Duration::from_secs(6);
const EDGE: &str = "spiffe://cluster.local/ns/default/sa/edge-diolkos";
const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";

const REGISTRATION: &str = r#"
apiVersion: diolkos.io/v1alpha1
kind: WorkloadRegistration
metadata: {name: NAME}
spec: {spiffeID: "spiffe://cluster.local/ns/default/sa/NAME", selectors: {unix: {uid: UID, path: "PATH"}}, ttl: TTL}
"#;

const POLICY: &str = r#"
apiVersion: diolkos.io/v1alpha1
kind: BackendPolicy
metadata: {name: cart}
spec:
  targetRefs: [{kind: Service, name: cart}]
  mesh: {mode: Spiffe, peers: [{spiffeID: "spiffe://cluster.local/ns/default/sa/cart"}]}
"#;
