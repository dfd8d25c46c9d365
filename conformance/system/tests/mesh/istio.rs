//! The gateway in Istio's mesh: its SVID from istiod, stock Envoy as the sidecars on both sides.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system::mesh::canary::Canary;
use system::mesh::envoy::{Envoy, Mesh};
use system::mesh::tokens::Claims;
use system::mesh::{Authority, Istiod, objects};
use system::{Gateway, Peer, Place, outcome, run, until, wire};

const GATEWAY: &str = "spiffe://cluster.local/ns/default/sa/edge-diolkos";
const CART: &str = "spiffe://cluster.local/ns/default/sa/cart";
const SHOP: &str = "spiffe://cluster.local/ns/shop/sa/web";
const SNI: &str = "outbound_.80_._.cart.default.svc.cluster.local";
const PEERS: &str = "{trustDomain: cluster.local, namespace: shop}";
const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(40);

/// istiod, a workload with a STRICT sidecar, and the gateway in front of it.
struct World {
    authority: Authority,
    istiod: Istiod,
    sidecar: Envoy,
    gateway: Gateway,
    workload: Peer,
}

/// What a workload saw, and the headers of the answer.
struct Seen {
    status: String,
    head: String,
    body: Value,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let path = format!("/headers/{name}/0");
        self.body.pointer(&path).and_then(Value::as_str).unwrap_or_default()
    }
}

impl World {
    async fn new(ttl: &str) -> Result<Self> {
        let authority = Authority::new("one", HOUR)?;
        let istiod = Istiod::start(&authority, HOUR).await?;
        let workload = Peer::echo("cart").await?;
        let svid = authority.svid(CART)?;
        let mesh = Mesh { svid: Some(&svid), roots: authority.root(), peer: GATEWAY };
        let sidecar = Envoy::sidecar(mesh, workload.place.at(3000)).await?;
        let gateway = Gateway::start(&gateway_objects(&istiod, ttl)?).await?;
        gateway.write("cart.yaml", &objects::cart(sidecar.place.at(8443), "cart", objects::SIDECAR))?;
        let world = Self { authority, istiod, sidecar, gateway, workload };
        world.answers("200").await?;
        Ok(world)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.gateway.place.at(8080))
    }

    async fn answers(&self, status: &str) -> Result<()> {
        let url = self.url();
        let what = format!("answers with {status}");
        let waited = until(&what, PATIENCE, async || ask(&url).await.is_ok_and(|seen| seen.status == status));
        waited.await.with_context(|| self.gateway.log())
    }

    /// Nothing that the gateway has said anywhere holds a private key.
    async fn check_silence(&self) -> Result<()> {
        let mut canary = Canary::default();
        canary.learn_folder(self.istiod.place.folder());
        canary.learn_folder(self.sidecar.place.folder());
        check_silence(&canary, &self.gateway).await?;
        let token = std::fs::read_to_string(self.istiod.place.folder().join("token"))?;
        let said = said(&self.gateway).await?;
        for (name, text) in said {
            ensure!(!text.contains(&token), "{name} holds the token");
        }
        Ok(())
    }
}

/// Everything that a gateway says of itself.
pub(crate) async fn said(gateway: &Gateway) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("the log", gateway.log()),
        ("standard output", gateway.output()),
        ("the access log", gateway.access_log()),
        ("/config_dump", gateway.page("/config_dump").await?),
        ("/identities", gateway.page("/identities").await?),
        ("/listeners", gateway.page("/listeners").await?),
        ("/backends", gateway.page("/backends").await?),
        ("/endpoints", gateway.page("/endpoints").await?),
        ("the metrics", gateway.metrics().await?),
    ])
}

/// Looks for the canary's keys in all of it.
pub(crate) async fn check_silence(canary: &Canary, gateway: &Gateway) -> Result<()> {
    for (name, text) in said(gateway).await? {
        canary.check(name, &text)?;
    }
    Ok(())
}

fn gateway_objects(istiod: &Istiod, ttl: &str) -> Result<String> {
    let token = istiod.token("token", &Claims::default())?;
    let mesh = format!(
        "{{kind: Istio, identity: {{istioCA: {{address: \"{}\", root: {{path: {}}}, tokenPath: {}, ttl: {ttl}}}}}}}",
        istiod.address(),
        istiod.root().display(),
        token.display()
    );
    Ok(objects::gateway(&mesh, PEERS))
}

/// Asks by curl.
async fn ask(url: &str) -> Result<Seen> {
    let text = run("curl", &["-sS", "-i", "--http1.1", url]).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("an HTTP answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Seen { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() })
}

#[tokio::test]
async fn a_strict_workload_is_dialled_as_istio_does() -> Result<()> {
    let world = World::new("1h").await?;
    let seen = ask(&world.url()).await?;
    assert!(seen.head.contains("x-chain: istio-http"), "{}", seen.head);
    assert!(seen.head.contains(&format!("x-sni: {SNI}")), "{}", seen.head);
    assert!(seen.header("x-forwarded-client-cert").contains(&format!("URI={GATEWAY}")), "{}", seen.body);

    // Another service account than the certificate's: nothing is sent, and nothing of the reason is told to the client.
    let accesses = world.sidecar.log().matches("access ").count();
    let moved = objects::cart(world.sidecar.place.at(8443), "somebody", objects::SIDECAR);
    world.gateway.write("cart.yaml", &moved)?;
    world.answers("503").await?;
    let (_, answer) = outcome("curl", &["-sS", "-i", &world.url()]).await?;
    assert!(!answer.contains("spiffe") && !answer.contains("127."), "{answer}");
    assert_eq!(
        world.sidecar.log().matches("access ").count(),
        accesses,
        "no request has reached the workload"
    );
    let log = world.gateway.access_log();
    assert!(
        log.contains(CART) || world.gateway.log().contains(CART),
        "whom it met is logged for the operator: {log}"
    );

    // A sidecar that is gone and plaintext in its place: the gateway does not speak it.
    let plain = Peer::echo("plain").await?;
    world.gateway.write("cart.yaml", &objects::cart(plain.place.at(3000), "cart", objects::SIDECAR))?;
    let ip = plain.place.ip().to_string();
    // It answered 503 before, so the answer alone would not show that it knows of the new endpoint.
    until("another endpoint", PATIENCE, async || {
        world.gateway.page("/endpoints").await.is_ok_and(|page| page.contains(&ip))
    })
    .await?;
    world.answers("503").await?;
    // Without the label it is no mesh member.
    world.gateway.write("cart.yaml", &objects::cart(plain.place.at(3000), "cart", "app: cart"))?;
    world.answers("200").await?;
    world.check_silence().await
}

#[tokio::test]
async fn a_sidecar_is_let_in_and_others_are_not() -> Result<()> {
    let world = World::new("1h").await?;
    let listener = world.gateway.place.at(8443);
    let (shop, bank) =
        (world.authority.svid(SHOP)?, world.authority.svid("spiffe://cluster.local/ns/bank/sa/web")?);
    let good = Mesh { svid: Some(&shop), roots: world.authority.root(), peer: GATEWAY };
    for alpn in [&["istio-http/1.1", "istio", "http/1.1"], &["istio-h2", "istio", "h2"]] {
        let envoy = Envoy::client(good, listener, "edge.default.svc.cluster.local", alpn).await?;
        let seen = ask(&format!("http://{}/", envoy.place.at(8080))).await?;
        assert_eq!(seen.status, "200", "{alpn:?}: {} {}", seen.head, world.gateway.log());
        let caller = seen.header("x-forwarded-client-cert");
        assert!(caller.contains(&format!("URI={SHOP}")), "who called: {caller}");
        assert!(caller.contains(&format!("URI={GATEWAY}")), "and who called the workload: {caller}");
    }
    let stranger = Authority::new("two", HOUR)?;
    let foreign = stranger.svid(SHOP)?;
    let (nobody, other, forged) = (
        Mesh { svid: None, ..good },
        Mesh { svid: Some(&bank), ..good },
        Mesh { svid: Some(&foreign), ..good },
    );
    let elsewhere = Mesh { peer: "spiffe://cluster.local/ns/default/sa/else", ..good };
    let accesses = world.sidecar.log().matches("access ").count();
    for (who, bad) in [("nobody", nobody), ("bank", other), ("forged", forged), ("elsewhere", elsewhere)] {
        let envoy = Envoy::client(bad, listener, "edge", &["istio-http/1.1"]).await?;
        let seen = ask(&format!("http://{}/", envoy.place.at(8080))).await?;
        assert_eq!(seen.status, "503", "{who}: {}", seen.head);
    }
    let plain = wire::exchange(listener, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(!plain.as_ref().is_ok_and(|answer| answer.contains("200")), "{plain:?}");
    assert_eq!(
        world.sidecar.log().matches("access ").count(),
        accesses,
        "no request has reached the workload"
    );
    // A header of one's own making is no identity.
    let forged = format!("x-forwarded-client-cert: URI={SHOP}");
    let (_, body) = outcome("curl", &["-sS", "-H", &forged, &world.url()]).await?;
    assert!(!body.contains(SHOP), "{body}");
    world.check_silence().await
}

#[tokio::test]
async fn without_istiod_traffic_goes_on_until_the_svid_ends() -> Result<()> {
    let mut world = World::new("12s").await?;
    world.istiod.kill().await?;
    let failing = until("a failed renewal", PATIENCE, async || {
        world.gateway.page("/identities").await.is_ok_and(|page| page.contains("lastError"))
    });
    failing.await?;
    assert_eq!(ask(&world.url()).await?.status, "200", "the last good SVID still serves");
    // Then it fails closed; what needs no mesh goes on.
    world.answers("503").await?;
    let plain = Peer::echo("plain").await?;
    let other = OTHER.replace("ADDRESS", &plain.place.ip().to_string());
    world.gateway.write("other.yaml", &other)?;
    let url = format!("{}other", world.url());
    until("the plain workload", PATIENCE, async || ask(&url).await.is_ok_and(|seen| seen.status == "200"))
        .await?;
    let ready =
        wire::exchange(world.gateway.place.at(15021), "GET /healthz/ready HTTP/1.0\r\nHost: a\r\n\r\n")
            .await?;
    assert!(ready.contains(" 200 "), "routes without the mesh are served: {ready}");
    let metrics = world.gateway.metrics().await?;
    assert!(metrics.contains("identity"), "{metrics}");

    let renewed = Authority::new("two", HOUR)?;
    world.istiod.restart(&renewed, HOUR).await?;
    world.istiod.place.write("root.pem", renewed.root())?;
    // A new root: the sidecar still has the old one, so neither believes the other, and the log names both.
    let both = until("both roots in the log", PATIENCE, async || {
        _ = ask(&world.url()).await;
        let said = format!("{}{}", world.gateway.log(), world.gateway.access_log());
        said.contains("CN=one") && said.contains("CN=two")
    });
    both.await.with_context(|| format!("{}\n{}", world.gateway.log(), world.gateway.access_log()))?;
    let svid = renewed.svid(CART)?;
    let mesh = Mesh { svid: Some(&svid), roots: renewed.root(), peer: GATEWAY };
    let sidecar = Envoy::sidecar(mesh, world.workload.place.at(3000)).await?;
    world.gateway.write("cart.yaml", &objects::cart(sidecar.place.at(8443), "cart", objects::SIDECAR))?;
    world.answers("200").await?;
    world.check_silence().await
}

#[tokio::test]
async fn files_are_an_identity_and_a_root_without_overlap_is_named() -> Result<()> {
    let (one, two) = (Authority::new("one", HOUR)?, Authority::new("two", HOUR)?);
    let files = Place::new()?;
    let show = |authority: &Authority| -> Result<()> {
        let svid = authority.svid(GATEWAY)?;
        // The key last: it is the pair that counts.
        files.write("ca.crt", authority.root())?;
        files.write("tls.crt", &svid.chain)?;
        files.write("tls.key", &svid.key).map(drop)
    };
    show(&one)?;
    let workload = Peer::echo("cart").await?;
    let svid = one.svid(CART)?;
    let mesh = Mesh { svid: Some(&svid), roots: one.root(), peer: GATEWAY };
    let sidecar = Envoy::sidecar(mesh, workload.place.at(3000)).await?;
    let folder = files.folder().display();
    let identity = format!(
        "{{kind: Istio, identity: {{files: {{certificatePath: {folder}/tls.crt, keyPath: {folder}/tls.key, rootsPath: {folder}/ca.crt}}}}}}"
    );
    let gateway = Gateway::start(&objects::gateway(&identity, PEERS)).await?;
    gateway.write("cart.yaml", &objects::cart(sidecar.place.at(8443), "cart", objects::SIDECAR))?;
    let url = format!("http://{}/", gateway.place.at(8080));
    until("answers", PATIENCE, async || ask(&url).await.is_ok_and(|seen| seen.status == "200")).await?;

    show(&two)?;
    until("answers with 503", PATIENCE, async || ask(&url).await.is_ok_and(|seen| seen.status == "503"))
        .await?;
    let said = format!("{}{}", gateway.log(), gateway.access_log());
    ensure!(said.contains("CN=one") && said.contains("CN=two"), "the error names both roots: {said}");
    show(&one)?;
    until("answers again", PATIENCE, async || ask(&url).await.is_ok_and(|seen| seen.status == "200")).await?;
    let mut canary = Canary::default();
    ensure!(canary.learn_folder(files.folder()) == 1, "the gateway's own key is what must not be told");
    check_silence(&canary, &gateway).await
}

const OTHER: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other}
spec:
  parentRefs: [{name: edge}]
  rules: [{matches: [{path: {type: PathPrefix, value: /other}}], backendRefs: [{name: other, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{port: 80, targetPort: 3000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{port: 3000}]
endpoints: [{addresses: [ADDRESS]}]
"#;
