//! No key leaves the issuer but to whom it belongs: everything that it says is searched for every key that it holds.
//! A test of its own, because it listens to all threads.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use identity::proto::workload::X509svidRequest;
use identity::proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use identity::{Issue, SpiffeId, TrustDomain};
use issuer::{Configuration, Issuer, IssuerSettings, Overlap, Registration, Selectors};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::Request;
use tonic::transport::Endpoint;

#[derive(Clone)]
struct Text;

static TEXT: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = TEXT.get_or_init(Mutex::default);
        text.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that was logged, of our own crates and all others, at the finest level.
fn logged() -> Vec<u8> {
    TEXT.get_or_init(Mutex::default).lock().unwrap().clone()
}

async fn ask(address: std::net::SocketAddr, head: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{head} HTTP/1.1\r\nhost: localhost\r\nx-diolkos: 1\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// The ways in which a key's bytes could be written: raw, hex, base64, and as Rust prints a list of bytes.
fn spellings(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    // Where a P-256 PKCS#8 key has its 32 secret bytes: after OCTET STRING of 32 (04 20).
    let at = pkcs8.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
    let secret = &pkcs8[at..at + 32];
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let body = STANDARD.encode(pkcs8);
    // Characters of the encoded secret that no line's end of PEM can part.
    let encoded = body.as_bytes()[66..88].to_vec();
    assert!(at * 4 / 3 < 66 && (at + 32) * 4 / 3 > 88);
    vec![
        secret.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        list.trim_matches(['[', ']']).as_bytes().to_vec(),
        encoded,
    ]
}

fn keys_in(state: &str) -> Vec<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_str(state.split_once('\n').unwrap().1).unwrap();
    let slots = ["roots", "jwt"].into_iter().flat_map(|line| json[line].as_array().unwrap().clone());
    let pems = slots.map(|slot| slot["key"].as_str().unwrap().to_owned());
    pems.map(|pem| {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(body).unwrap()
    })
    .collect()
}

fn search(what: &str, text: &[u8], keys: &[Vec<u8>]) {
    for key in keys {
        for spelling in spellings(key) {
            let found = text.windows(spelling.len()).any(|window| window == spelling);
            assert!(!found, "{what} holds a private key");
        }
    }
}

#[tokio::test]
async fn no_output_holds_a_key() {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Text).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.state = Some(temp.path().join("state"));
    settings.dns_names = vec!["issuer.test".to_owned()];
    settings.istio_ca = Some(any);
    settings.admin = Some(any);
    settings.metrics = Some(any);
    settings.workload_api = Some(temp.path().join("api.sock"));
    let issuer = Issuer::start(settings.clone()).await.unwrap();
    let id = SpiffeId::new("spiffe://cluster.local/ns/vm/sa/reports").unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    let selectors = Selectors { uid: Some(uid), ..Selectors::default() };
    let registrations = [(Arc::from("reports"), Registration::new(id.clone(), selectors))].into();
    issuer.configure(Configuration { registrations, ..Configuration::default() });

    // Work of every kind, and failures of every kind.
    let message = workload(&temp.path().join("api.sock")).await;
    let mut keys = vec![message.svids[0].x509_svid_key.clone()];
    issuer.rotate_root(Overlap::Keep).await.unwrap();
    let token = issuer.bootstrap_token("reports", Duration::from_secs(60)).await.unwrap();
    let refused = issuer.issue(&id, b"x", Duration::from_secs(1)).await.unwrap_err();
    let in_use = Issuer::start(settings).await.unwrap_err();
    let state = std::fs::read_to_string(temp.path().join("state/state")).unwrap();
    keys.extend(keys_in(&state));
    assert_eq!(keys.len(), 4, "an SVID's, two roots', and a JWT key's");

    search("the log", &logged(), &keys);
    search("the status", &ask(issuer.addresses().admin.unwrap(), "GET /status").await, &keys);
    search("the bundle", &ask(issuer.addresses().admin.unwrap(), "GET /bundle").await, &keys);
    search("the rotation", &ask(issuer.addresses().admin.unwrap(), "POST /rotate-root").await, &keys);
    search("the metrics", &ask(issuer.addresses().metrics.unwrap(), "GET /metrics").await, &keys);
    search("a dump", format!("{issuer:#?}").as_bytes(), &keys);
    search("a dump of a message", format!("{message:?}").as_bytes(), &keys);
    search("an error", format!("{refused:?} {refused} {in_use:?} {in_use}").as_bytes(), &keys);
    let leaked = logged().windows(32).any(|window| window == &token.expose().as_bytes()[20..52]);
    assert!(!leaked, "a bootstrap token is in the log");
    assert!(!format!("{token:?}").contains(token.expose().as_str()));

    // A state that is broken in its middle is not quoted.
    drop(issuer);
    let broken = state.replacen("\"phase\"", "\"phasf\"", 1);
    std::fs::write(temp.path().join("state/state"), broken).unwrap();
    let mut settings = IssuerSettings::new(TrustDomain::new("cluster.local").unwrap());
    settings.state = Some(temp.path().join("state"));
    let error = loop {
        let error = Issuer::start(settings.clone()).await.unwrap_err();
        if !error.to_string().contains("in use") {
            break error;
        }
        tokio::task::yield_now().await;
    };
    search("the error of a broken state", format!("{error:?} {error}").as_bytes(), &keys);
    // The search itself finds a key where there is one.
    assert!(std::panic::catch_unwind(|| search("the state", state.as_bytes(), &keys)).is_err());
}

async fn workload(path: &std::path::Path) -> identity::proto::workload::X509svidResponse {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://w.test").connect_with_connector(connector).await.unwrap();
    let mut request = Request::new(X509svidRequest {});
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    let mut api = SpiffeWorkloadApiClient::new(channel);
    let mut stream = api.fetch_x509svid(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap()
}
