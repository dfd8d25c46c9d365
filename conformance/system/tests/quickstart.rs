//! What README promises: the quickstart answers every protocol, with the commands that it prints.
#![cfg(feature = "peers")]

use std::path::Path;

use anyhow::{Context, Result};
use system::{Gateway, Place, run};

/// Who the quickstart's gateway is to its meshed workloads.
const GATEWAY_ID: &str = "spiffe://cluster.local/ns/default/sa/edge-diolkos";

/// The gateway of the quickstart, on an address of its own. Its sample workloads have the addresses that the
/// folder says, so only one of these runs at a time: everything is in one test.
#[tokio::test]
async fn quickstart_answers_every_protocol() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let mut gateway = Gateway::serve(Place::new()?, &folder, &[]).await?;
    gateway.until("greeting", async |gateway| gateway.output().contains("Try:")).await?;
    let ip = gateway.place.ip().to_string();
    let binary = system::gateway::binary()?.display().to_string();

    // Identities are there a moment after the listeners.
    let meshed = format!("http://{ip}:8080/orders");
    gateway.until("meshed", async |_| run("curl", &["-sS", "--fail", &meshed]).await.is_ok()).await?;

    // The very line that it prints.
    let output = gateway.output();
    let line = output.lines().find_map(|line| line.strip_prefix("Try:")).context("a line to try")?;
    let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    let answer = run("curl", &[&["-sS", "--fail"], arguments.as_slice()].concat()).await?;
    assert!(answer.contains("\"workload\": \"orders-"), "{answer}");
    assert!(
        answer.contains(&format!("\"caller\": \"{GATEWAY_ID}\"")),
        "the workload names its caller: {answer}"
    );

    // A meshed workload lets in nobody without an identity.
    for url in ["http://127.0.2.1:3000/", "https://127.0.2.1:3000/"] {
        let (success, output) = system::peer::outcome("curl", &["-sSk", url]).await?;
        assert!(!success, "{url}: {output}");
    }
    let admin = gateway.place.at(15000).to_string();
    let identity = run(&binary, &["identity", "--admin", &admin]).await?;
    assert!(identity.contains(GATEWAY_ID) && identity.contains("Next renewal"), "{identity}");

    let answer = run("curl", &["-sS", "--fail", &format!("http://{ip}:8080/a")]).await?;
    assert!(answer.contains("\"workload\": \"echo-") && !answer.contains("\"caller\""), "{answer}");
    assert!(answer.contains("quickstart"), "the rule's filter has set x-edge: {answer}");

    let ca = folder.join("ca.crt").display().to_string();
    let https = "https://localhost:8443/";
    let resolve = format!("localhost:8443:{ip}");
    let answer = run("curl", &["-sS", "--fail", "--cacert", &ca, "--resolve", &resolve, https]).await?;
    assert!(answer.contains("\"path\": \"/\""), "{answer}");

    let connect = |port: u16| gateway.place.at(port).to_string();
    for (url, port, data, expected) in [
        ("http://localhost:8080/a", 8080, None, "HTTP/1.1 200"),
        ("h2c://localhost:8080/a", 8080, None, "HTTP/2.0 200"),
        ("grpc://localhost:8080/grpc.health.v1.Health/Check", 8080, None, "grpc-status: 0"),
        ("ws://localhost:8080/chat", 8080, Some("over a websocket"), "over a websocket"),
        ("https://localhost:8443/", 8443, None, "HTTP/1.1 200"),
        ("h2://localhost:8443/", 8443, None, "HTTP/2.0 200"),
        ("grpcs://localhost:8443/grpc.health.v1.Health/Check", 8443, None, "grpc-status: 0"),
        ("wss://localhost:8443/", 8443, Some("over TLS"), "over TLS"),
        ("tcp://localhost:9000", 9000, Some("over tcp"), "over tcp"),
        ("udp://localhost:9001", 9001, Some("over udp"), "over udp"),
    ] {
        let address = connect(port);
        let mut arguments = vec!["probe", url, "--connect", &address, "--cacert", &ca];
        arguments.extend(data.map(|_| "--data"));
        arguments.extend(data);
        let answer = run(&binary, &arguments).await?;
        assert!(answer.contains(expected), "{url}: {expected:?} is not in\n{answer}");
    }

    let moved = run("curl", &["-sSi", &format!("http://{ip}:8080/old/thing")]).await?;
    assert!(
        moved.starts_with("HTTP/1.1 301") && moved.contains(&format!("http://{ip}:8080/new/thing")),
        "{moved}"
    );

    let logged =
        |lines: &str| lines.contains("\"path\":\"/old/thing\"") && lines.contains("\"response_code\":301");
    gateway.until("logging the redirect", async |gateway| logged(&gateway.access_log())).await?;
    Ok(())
}

#[tokio::test]
async fn verbs_explain_and_check_a_folder() -> Result<()> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart").display().to_string();
    let binary = system::gateway::binary()?.display().to_string();
    let checked = run(&binary, &["check", "-f", &folder]).await?;
    assert!(checked.contains("0 errors"), "{checked}");
    let explained = run(&binary, &["explain", "-f", &folder, "GET", "http://localhost:8080/old/x"]).await?;
    assert!(explained.contains("(moved)"), "{explained}");
    let routes = run(&binary, &["get", "routes", "-f", &folder, "-o", "json"]).await?;
    assert!(
        serde_json::from_str::<serde_json::Value>(&routes)?.as_array().is_some_and(|rows| rows.len() >= 6),
        "{routes}"
    );

    let place = Place::new()?;
    let bad = place
        .write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  prots: []\n")?;
    let (success, output) =
        system::peer::outcome(&binary, &["check", "-f", &bad.display().to_string()]).await?;
    assert!(!success && output.contains("bad.yaml:5") && output.contains("prots"), "{output}");
    let (success, output) = system::peer::outcome(&binary, &["serve", "-f", "/nonexistent/folder"]).await?;
    assert!(!success && output.contains("/nonexistent/folder"), "{output}");
    Ok(())
}
