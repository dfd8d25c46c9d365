//! Configuration swap under load: one change a second, and every request must be answered by one configuration.
//!
//! `cargo xtask swap [--seconds N] [--rate N]` runs it; it fails if a request fails, sees two configurations, or the rate is
//! not reached.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use system::{Gateway, Peer};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};

#[derive(Parser)]
struct Arguments {
    /// How long, with a change in each second
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Requests per second
    #[arg(long, default_value_t = 6000)]
    rate: u64,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: u64,
}

#[derive(Default)]
struct Ledger {
    sent: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
    generations: Mutex<BTreeSet<u64>>,
    slowest: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let echo = Peer::echo("swap").await?;
    let gateway = Gateway::start(&objects(&echo)).await?;
    gateway.write("route.yaml", &route(0))?;
    let mut gateway = gateway;
    let address = gateway.place.at(8080);
    gateway.until("routing", async |_| ask(address).await.is_ok()).await?;

    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..arguments.connections)
        .map(|_| {
            let pause = Duration::from_nanos(1_000_000_000 * arguments.connections / arguments.rate);
            tokio::spawn(client(address, pause, Arc::clone(&ledger)))
        })
        .collect();
    let started = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    for generation in 1..=arguments.seconds {
        ticks.tick().await;
        gateway.write("route.yaml", &route(generation))?;
    }
    ticks.tick().await;
    ledger.stop.store(true, Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    for client in clients {
        client.await.context("a client panicked")?;
    }
    report(&ledger, &arguments, seconds)
}

fn report(ledger: &Ledger, arguments: &Arguments, seconds: f64) -> Result<()> {
    let sent = ledger.sent.load(Ordering::Relaxed);
    let answered = ledger.answered.load(Ordering::Relaxed);
    let failures = ledger.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let generations = ledger.generations.lock().unwrap_or_else(PoisonError::into_inner).len();
    let rate = sent as f64 / seconds;
    println!(
        "sent {sent}, answered {answered}, failed {}, {rate:.0} requests/s for {seconds:.0} s, {generations} configurations seen, slowest {} ms",
        failures.len(),
        ledger.slowest.load(Ordering::Relaxed)
    );
    for failure in failures.iter().take(10) {
        println!("  {failure}");
    }
    ensure!(failures.is_empty() && sent == answered, "{} requests failed", failures.len());
    ensure!(rate >= 5000.0, "only {rate:.0} requests/s: the machine is too busy for a verdict");
    let expected = arguments.seconds.saturating_sub(1);
    ensure!(
        generations as u64 >= expected,
        "only {generations} of {} configurations were served",
        arguments.seconds
    );
    Ok(())
}

/// One connection that asks again and again.
async fn client(address: SocketAddr, pause: Duration, ledger: Arc<Ledger>) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sender = None;
    while !ledger.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        ledger.sent.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        match exchange(address, &mut sender).await {
            Ok(generation) => {
                ledger.answered.fetch_add(1, Ordering::Relaxed);
                ledger.slowest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                ledger.generations.lock().unwrap_or_else(PoisonError::into_inner).insert(generation);
            }
            Err(error) => {
                sender = None;
                ledger.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            }
        }
    }
}

async fn ask(address: SocketAddr) -> Result<u64> {
    exchange(address, &mut None).await
}

/// One request; the answer says which configuration served it.
async fn exchange(address: SocketAddr, sender: &mut Option<SendRequest<Empty<Bytes>>>) -> Result<u64> {
    let connection = match sender {
        Some(connection) if !connection.is_closed() => connection,
        slot => {
            let stream = TcpStream::connect(address).await.context("connect")?;
            stream.set_nodelay(true)?;
            let (connection, driver) = handshake(TokioIo::new(stream)).await.context("handshake")?;
            tokio::spawn(driver);
            slot.insert(connection)
        }
    };
    connection.ready().await.context("connection")?;
    let request = Request::get("/").header("host", "swap.example").body(Empty::new())?;
    let response = connection.send_request(request).await.context("send")?;
    ensure!(response.status() == 200, "status {}", response.status());
    let body = response.into_body().collect().await.context("body")?.to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).context("the body")?;
    let header = |name: &str| seen.pointer(&format!("/headers/{name}/0"))?.as_str()?.parse::<u64>().ok();
    match (header("x-first"), header("x-last")) {
        (Some(first), Some(last)) if first == last => Ok(first),
        (first, last) => bail!("two configurations in one request: {first:?} and {last:?}"),
    }
}

fn objects(echo: &Peer) -> String {
    format!(
        "{GATEWAY}---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nports: [{{port: 3000}}]\nendpoints: [{{addresses: [{}]}}]\n",
        echo.place.ip()
    )
}

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: diolkos
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, targetPort: 3000}]}
";

/// A route whose two filters, one of the rule and one of the backend, name its generation.
fn route(generation: u64) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{set: [{{name: x-first, value: \"{generation}\"}}]}}
    backendRefs:
    - name: web
      port: 80
      filters:
      - type: RequestHeaderModifier
        requestHeaderModifier: {{set: [{{name: x-last, value: \"{generation}\"}}]}}
"
    )
}
