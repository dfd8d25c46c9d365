//! Objects to snapshot: N HTTPRoutes and N/10 Services behind one Gateway, from nothing and after one change.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::AnyObject;
use translate::{Inputs, translate};

/// Prints a row for each number of routes.
pub(crate) fn run(rounds: usize) -> Result<()> {
    println!(
        "{:>7} {:>12} {:>12} {:>14} {:>14}",
        "routes", "decode ms", "translate ms", "one change ms", "us per route"
    );
    for routes in [500, 1_000, 2_000, 5_000, 10_000] {
        let text = objects(routes);
        let mut decoding = Vec::new();
        let mut first = Vec::new();
        let mut again = Vec::new();
        for round in 0..rounds {
            let started = Instant::now();
            let mut inputs = read(&text)?;
            decoding.push(started.elapsed());
            let started = Instant::now();
            let before = translate(&inputs);
            first.push(started.elapsed());
            ensure!(before.problems.is_empty(), "{:?}", before.problems.first());
            let changed = read(&route(0, round % 7))?;
            inputs.objects.extend(changed.objects);
            let started = Instant::now();
            let after = translate(&inputs);
            again.push(started.elapsed());
            ensure!(after.snapshots.len() == before.snapshots.len(), "a snapshot is lost");
        }
        let (decoding, first, again) = (median(decoding)?, median(first)?, median(again)?);
        println!(
            "{routes:>7} {:>12.1} {:>12.1} {:>14.1} {:>14.2}",
            millis(decoding),
            millis(first),
            millis(again),
            millis(first) * 1_000.0 / routes as f64,
        );
    }
    Ok(())
}

fn read(text: &str) -> Result<Inputs> {
    let mut objects: Vec<AnyObject> = Vec::new();
    for document in api::decode::decode("bench", text) {
        let decoded = document.result.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        objects.push(decoded.object);
    }
    Ok(Inputs::new(objects))
}

fn median(mut values: Vec<Duration>) -> Result<Duration> {
    values.sort();
    values.get(values.len() / 2).copied().context("no round was made")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn objects(routes: usize) -> String {
    let mut text = String::from(BASE);
    for service in 0..routes / 10 {
        write!(text, "{}", service_and_slice(service)).expect("a String takes everything");
    }
    for number in 0..routes {
        text.push_str(&route(number, 0));
    }
    text
}

fn route(number: usize, version: usize) -> String {
    let service = number / 10;
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{number}, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [host-{number}.example]
  rules:
  - matches:
    - path: {{type: PathPrefix, value: /api}}
    - path: {{type: Exact, value: /login}}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{set: [{{name: x-version, value: v{version}}}]}}
    backendRefs: [{{name: service-{service}, port: 80}}]
"
    )
}

fn service_and_slice(number: usize) -> String {
    let third = number % 250;
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: shop}}
spec: {{clusterIP: 10.1.{third}.1, ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: service-{number}-a, namespace: shop, labels: {{kubernetes.io/service-name: service-{number}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: [10.2.{third}.1]}}, {{addresses: [10.2.{third}.2]}}]
"
    )
}

const BASE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: diolkos}
spec: {controllerName: diolkos.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: diolkos, listeners: [{name: http, port: 80, protocol: HTTP}]}
";
