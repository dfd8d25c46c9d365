//! A load balancer in front: HAProxy with PROXY protocol and with forwarding headers.
#![cfg(feature = "peers")]

use anyhow::Result;
use system::{Gateway, Peer, run, wire};

fn objects(echo: &Peer, policy: &str) -> String {
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: diolkos
  listeners: [{{name: http, port: 8080, protocol: HTTP}}]
---
apiVersion: diolkos.io/v1alpha1
kind: ListenerPolicy
metadata: {{name: front}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]
{policy}
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
endpoints: [{{addresses: [{}]}}]
"#,
        echo.place.ip()
    )
}

/// What the backend saw as `X-Forwarded-For`.
fn forwarded_for(answer: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    let value = answer.pointer("/headers/x-forwarded-for/0").and_then(|value| value.as_str());
    value.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_proxy_protocol_tells_who_the_client_is() -> Result<()> {
    let echo = Peer::echo("behind").await?;
    let policy = "  proxyProtocol: {mode: Required, trusted: [127.0.0.0/8]}";
    let gateway = Gateway::start(&objects(&echo, policy)).await?;
    for version in ["send-proxy", "send-proxy-v2"] {
        let haproxy = Peer::haproxy(
            80,
            &format!(
                "frontend f\n  bind @IP@:80\n  default_backend b\nbackend b\n  server s {} {version}\n",
                gateway.place.at(8080)
            ),
        )
        .await?;
        let url = format!("http://{}/", haproxy.place.at(80));
        let answer = run("curl", &["-sS", "--interface", "127.9.9.9", &url]).await?;
        assert_eq!(forwarded_for(&answer), "127.9.9.9", "{version}: {answer}");
    }
    // Without a header the connection is closed before a request is read.
    let answer = wire::exchange(gateway.place.at(8080), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.as_ref().map_or(true, String::is_empty), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn forwarding_headers_are_believed_from_trusted_peers_only() -> Result<()> {
    let echo = Peer::echo("behind").await?;
    let gateway =
        Gateway::start(&objects(&echo, "  forwarded: {trustedHops: 1, trusted: [127.9.0.0/16]}")).await?;
    let url = format!("http://{}/", gateway.place.at(8080));
    let spoof = [
        "-sS",
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "-H",
        "X_Forwarded_For: 192.0.2.1",
        "-H",
        "X-Real-IP: 192.0.2.1",
    ];
    let untrusted = run("curl", &[&spoof[..], &["--interface", "127.8.0.1", &url]].concat()).await?;
    assert_eq!(forwarded_for(&untrusted), "127.8.0.1", "{untrusted}");
    assert!(!untrusted.contains("192.0.2.1"), "no spelling of it reaches the backend: {untrusted}");
    let trusted =
        run("curl", &["-sS", "-H", "X-Forwarded-For: 192.0.2.1", "--interface", "127.9.0.1", &url]).await?;
    assert_eq!(forwarded_for(&trusted), "192.0.2.1, 127.9.0.1", "{trusted}");
    Ok(())
}
