//! What happens to traffic as files change, backends die and the process is told to stop.
#![cfg(feature = "peers")]

use anyhow::Result;
use system::{Gateway, Peer, run, wire};

fn objects(backends: &[&Peer]) -> String {
    let endpoints: Vec<String> =
        backends.iter().map(|peer| format!("{{addresses: [{}]}}", peer.place.ip())).collect();
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: diolkos
  listeners: [{{name: http, port: 8080, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{ports: [{{port: 80, targetPort: 3000}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{port: 3000}}]
endpoints: [{}]
"#,
        endpoints.join(", ")
    )
}

const ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: more}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /more}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 302, hostname: elsewhere.example}}]
"#;

async fn status(gateway: &Gateway, path: &str) -> String {
    let url = format!("http://{}{path}", gateway.place.at(8080));
    run("curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]).await.unwrap_or_default()
}

#[tokio::test]
async fn a_save_takes_effect_and_a_broken_one_changes_nothing() -> Result<()> {
    let echo = Peer::echo("one").await?;
    let mut gateway = Gateway::start(&objects(&[&echo])).await?;
    assert_eq!(status(&gateway, "/more").await, "200");
    gateway.write("more.yaml", ROUTE)?;
    gateway.until("redirecting", async |gateway| status(gateway, "/more").await == "302").await?;

    for broken in [&ROUTE[..ROUTE.len() / 2], "{", &ROUTE.replace("matches", "matchs"), "\u{0}"] {
        let told = gateway.log().matches("more.yaml").count();
        gateway.write("more.yaml", broken)?;
        gateway
            .until("told of the broken file", async |gateway| {
                gateway.log().matches("more.yaml").count() > told
            })
            .await?;
        assert_eq!(status(&gateway, "/more").await, "302", "the last good state after {broken:?}");
        assert_eq!(status(&gateway, "/").await, "200");
        gateway.write("more.yaml", ROUTE)?;
    }
    std::fs::remove_file(gateway.place.folder().join("more.yaml"))?;
    gateway.until("without the route", async |gateway| status(gateway, "/more").await == "200").await
}

#[tokio::test]
async fn a_dead_backend_is_passed_over() -> Result<()> {
    let (one, mut two) = (Peer::echo("one").await?, Peer::echo("two").await?);
    let gateway = Gateway::start(&objects(&[&one, &two])).await?;
    let url = format!("http://{}/", gateway.place.at(8080));
    run("h2load", &["--h1", "-n", "200", "-c", "4", &url]).await?;
    two.kill().await?;
    // A connection that cannot be made has sent nothing: the other endpoint is tried.
    let report = run("h2load", &["--h1", "-n", "500", "-c", "4", &url]).await?;
    assert!(report.contains("500 succeeded, 0 failed") && report.contains("500 2xx"), "{report}");
    Ok(())
}

#[tokio::test]
async fn no_backend_at_all_is_503_and_a_missing_one_500() -> Result<()> {
    let gateway = Gateway::start(&objects(&[])).await?;
    assert_eq!(status(&gateway, "/").await, "503");
    gateway.write("lost.yaml", &ROUTE.replace("filters: [{type: RequestRedirect, requestRedirect: {statusCode: 302, hostname: elsewhere.example}}]", "backendRefs: [{name: lost, port: 80}]"))?;
    let mut gateway = gateway;
    gateway.until("answering 500", async |gateway| status(gateway, "/more").await == "500").await
}

#[tokio::test]
async fn a_term_signal_drains() -> Result<()> {
    let echo = Peer::echo("slow").await?;
    let objects = objects(&[&echo]);
    let mut gateway =
        Gateway::start_with(&objects, &["--drain-delay", "1", "--drain-deadline", "20"]).await?;
    let address = gateway.place.at(8080);
    let slow = tokio::spawn(wire::exchange(address, "GET /?delay=3000 HTTP/1.1\r\nHost: a\r\n\r\n"));
    gateway.until("working", async |_| echo_connections(&echo).await > 0).await?;
    gateway.signal("TERM").await?;
    gateway.until("unready", async |gateway| !gateway.is_ready().await).await?;
    // Within the delay new connections are still taken.
    let late = wire::exchange(address, "GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    assert!(late.starts_with("HTTP/1.1 200"), "{late}");
    let answer = slow.await??;
    assert!(answer.starts_with("HTTP/1.1 200"), "the request in flight is answered: {answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "and its connection closed: {answer}");
    assert_eq!(gateway.wait().await?, Some(0));
    Ok(())
}

/// Connections that a peer has accepted, by the kernel's table.
async fn echo_connections(peer: &Peer) -> usize {
    let local = match peer.place.ip() {
        std::net::IpAddr::V4(ip) => format!("{:08X}:0BB8", u32::from_le_bytes(ip.octets())),
        std::net::IpAddr::V6(_) => return 0,
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().filter(|line| line.contains(&format!(" {local} ")) && line.contains(" 01 ")).count()
}
