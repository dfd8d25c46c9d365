//! HTTP with real clients and real servers: curl, h2load, openssl and nginx.
#![cfg(feature = "peers")]

use anyhow::Result;
use system::{Gateway, Peer, run, wire};

/// A Gateway with an HTTP and an HTTPS listener, and a route to one backend.
fn objects(backend: &Peer, port: u16) -> String {
    let certificate = rcgen::generate_simple_self_signed(["www.example".to_owned()]).expect("a certificate");
    let indent = |pem: String| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: diolkos
  listeners:
  - {{name: http, port: 8080, protocol: HTTP}}
  - {{name: https, port: 8443, protocol: HTTPS, tls: {{certificateRefs: [{{name: web}}]}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: web}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}---
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
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [{}]}}]
"#,
        indent(certificate.cert.pem()),
        indent(certificate.signing_key.serialize_pem()),
        backend.place.ip(),
    )
}

#[tokio::test]
async fn nginx_behind_and_curl_in_front() -> Result<()> {
    let nginx = Peer::nginx(
        80,
        "server { listen @IP@:80; client_max_body_size 64m; location / { root DIR; }\n\
         location = /big { alias DIR/big; }\n location /echo { add_header x-seen $http_x_sent; return 200 \"$request_uri\\n\"; } }",
    )
    .await?;
    std::fs::write(nginx.place.folder().join("big"), vec![b'x'; 16 << 20])?;
    let gateway = Gateway::start(&objects(&nginx, 80)).await?;
    let ip = gateway.place.ip().to_string();

    let answer = run("curl", &["-sSi", "-H", "x-sent: yes", &format!("http://{ip}:8080/echo/a?b=c")]).await?;
    assert!(answer.contains("/echo/a?b=c") && answer.contains("x-seen: yes"), "{answer}");

    let resolve = format!("www.example:8443:{ip}");
    for version in ["--http1.1", "--http2"] {
        let arguments = [
            "-sS",
            "-k",
            version,
            "--resolve",
            &resolve,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download}",
        ];
        let answer = run("curl", &[&arguments[..], &["https://www.example:8443/big"]].concat()).await?;
        assert_eq!(answer, format!("200 {}", 16 << 20), "{version}");
    }
    // A response to HEAD and one of 304 have a length and no body; the connection goes on after them.
    let url = format!("http://{ip}:8080/big");
    let twice = run(
        "curl",
        &["-sSI", &url, "--next", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{num_connects}", &url],
    )
    .await?;
    assert!(twice.ends_with(&format!("{} 0", 16 << 20)), "{twice}");
    Ok(())
}

#[tokio::test]
async fn h2load_finds_no_failure_on_any_protocol() -> Result<()> {
    let echo = Peer::echo("load").await?;
    let gateway = Gateway::start(&objects(&echo, 3000)).await?;
    let ip = gateway.place.ip();
    for (flags, url) in [
        (&["--h1"][..], format!("http://{ip}:8080/?bytes=100")),
        (&[][..], format!("http://{ip}:8080/?bytes=100")),
        (&["--h1"][..], format!("https://{ip}:8443/?bytes=100")),
        (&[][..], format!("https://{ip}:8443/?bytes=16384")),
    ] {
        let load = [&["-n", "5000", "-c", "16", "-m", "8", "-t", "1"], flags, &[url.as_str()]].concat();
        let report = run("h2load", &load).await?;
        assert!(report.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{url}:\n{report}");
    }
    let logged = |log: String| log.lines().filter(|line| line.contains("\"response_code\":200")).count();
    let mut gateway = gateway;
    gateway.until("done logging", async |gateway| logged(gateway.access_log()) >= 20_000).await?;
    assert_eq!(logged(gateway.access_log()), 20_000, "one line for each request");
    Ok(())
}

#[tokio::test]
async fn old_tls_is_refused_and_new_is_taken() -> Result<()> {
    let echo = Peer::echo("tls").await?;
    let gateway = Gateway::start(&objects(&echo, 3000)).await?;
    let connect = gateway.place.at(8443).to_string();
    let shake = async |version: &'static str| {
        let arguments = [
            "s_client",
            "-connect",
            &connect,
            "-servername",
            "www.example",
            "-cipher",
            "ALL:@SECLEVEL=0",
            version,
        ];
        system::peer::outcome("openssl", &arguments).await
    };
    for version in ["-tls1", "-tls1_1"] {
        let (_, text) = shake(version).await?;
        assert!(text.contains("no peer certificate available"), "{version}: {text}");
    }
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (_, text) = shake(version).await?;
        assert!(text.contains(name) && text.contains("BEGIN CERTIFICATE"), "{version}: {text}");
    }
    Ok(())
}

/// Requests whose length or target two parsers may read differently. None may reach the backend, and the
/// connection may not be used again (reliability-security.md §2, rows 2, 3, 9 and 11).
const AMBIGUOUS: &[(&str, &str)] = &[
    (
        "CL.TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhelloX"),
    ("length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhelloX"),
    ("signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    ("TE.TE", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("TE on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("space before colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"),
    ("folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    ("hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    (
        "bad chunk size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    ),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("target differs from host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("encoded slash", "GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("encoded zero", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("above the root", "GET /%2e%2e/etc HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("connect", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n"),
];

#[tokio::test]
async fn ambiguous_requests_reach_no_backend() -> Result<()> {
    let nginx = Peer::nginx(80, "server { listen @IP@:80; location / { return 200 reached; } }").await?;
    let gateway = Gateway::start(&objects(&nginx, 80)).await?;
    for (name, request) in AMBIGUOUS {
        let answer = wire::exchange(gateway.place.at(8080), request).await?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('4') || status.starts_with("501"), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{name}: one answer, then the end: {answer}");
    }
    assert_eq!(nginx.text("access.log"), "", "nothing has reached the backend");
    Ok(())
}

#[tokio::test]
async fn limits_are_answered_by_their_own_status() -> Result<()> {
    let nginx = Peer::nginx(80, "server { listen @IP@:80; location / { return 200 reached; } }").await?;
    let gateway = Gateway::start(&objects(&nginx, 80)).await?;
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    let long_header = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(150));
    for (name, request, status) in
        [("target", long_target, "414"), ("header", long_header, "431"), ("headers", many_headers, "431")]
    {
        let answer = wire::exchange(gateway.place.at(8080), &request).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
    }
    assert_eq!(nginx.text("access.log"), "");
    Ok(())
}
