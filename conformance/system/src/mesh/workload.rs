//! Foreign workloads: go-spiffe, py-spiffe, Istio's CA client and its agent.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::issuer::SERVER_NAME;
use super::program::{self, Program};
use crate::peer::outcome;
use crate::place::Place;
use crate::run;

/// Runs go-spiffe with a verb and flags; gives what it says, line by line.
///
/// # Errors
/// It fails; the error says why.
pub async fn go_spiffe(arguments: &[&str]) -> Result<Vec<Value>> {
    lines(&run(&program::path("go-spiffe")?.display().to_string(), arguments).await?)
}

/// Runs py-spiffe against a socket (`unix:///PATH`); gives what it says, line by line.
///
/// # Errors
/// It fails; the error says why.
pub async fn py_spiffe(socket: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let python = program::path("python")?.join("bin/python").display().to_string();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/python/workload.py").display().to_string();
    lines(&run(&python, &[&[script.as_str(), socket], arguments].concat()).await?)
}

fn lines(output: &str) -> Result<Vec<Value>> {
    output.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// A go-spiffe server that takes only the named peers.
#[derive(Debug)]
pub struct GoServer {
    /// Its address and folder; it listens on port 8443.
    pub place: Place,
    program: Program,
}

impl GoServer {
    /// Starts it with the SVID of a Workload API. `peers` are SPIFFE IDs with commas between them.
    pub async fn start(socket: &str, peers: &str) -> Result<Self> {
        let place = Place::new()?;
        let mut command = Command::new(program::path("go-spiffe")?);
        command.args(["serve", "-socket", socket, "-peer", peers, "-listen", &place.at(8443).to_string()]);
        let mut program = Program::start("go-spiffe", place.folder(), &mut command)?;
        let address = place.at(8443);
        program.until("listening", async || tokio::net::TcpStream::connect(address).await.is_ok()).await?;
        Ok(Self { place, program })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// Asks a CA by Istio's own client package: whether it was given a chain, and the chain or the reason.
pub async fn ca_client(arguments: &[&str]) -> Result<(bool, String)> {
    outcome(&program::path("ca-client")?.display().to_string(), arguments).await
}

/// Istio's agent without Envoy: it keeps its certificate fresh from a CA and writes it to files.
#[derive(Debug)]
pub struct PilotAgent {
    /// Its folder; the certificate is below `out`.
    pub place: Place,
    program: Program,
}

impl PilotAgent {
    /// Starts it. It finds its token and roots where a pod has them, below its working directory.
    pub async fn start(ca: &str, roots: &str, token: &str, ttl: &str) -> Result<Self> {
        let place = Place::new()?;
        place.write("var/run/secrets/tokens/istio-token", token)?;
        place.write("var/run/secrets/istio/root-cert.pem", roots)?;
        std::fs::create_dir_all(place.folder().join("out"))?;
        std::fs::create_dir_all(place.folder().join("etc/istio/proxy"))?;
        let ip = place.ip().to_string();
        let mut command = Command::new(program::path("pilot-agent")?);
        command
            .args(["proxy", "sidecar", "--log_output_level", "info,ca:debug,cache:debug,citadelclient:debug"])
            .env("PROXY_CONFIG", format!("{{\"discoveryAddress\":\"{ca}\",\"statusPort\":{}}}", free_port()?))
            .env("OUTPUT_CERTS", place.folder().join("out"))
            .env("SECRET_TTL", ttl)
            // Heeded only where the CA is the discovery address.
            .env("ISTIOD_SAN", SERVER_NAME)
            .envs([("DISABLE_ENVOY", "true"), ("INSTANCE_IP", &ip), ("POD_NAME", "agent-0")])
            .envs([("POD_NAMESPACE", "shop"), ("SERVICE_ACCOUNT", "cart"), ("TRUST_DOMAIN", "cluster.local")])
            .envs([("ECC_SIGNATURE_ALGORITHM", "ECDSA"), ("ISTIO_META_CLUSTER_ID", "Kubernetes")]);
        let program = Program::start("pilot-agent", place.folder(), &mut command)?;
        Ok(Self { place, program })
    }

    /// Waits until it has written a certificate that differs from `before`, and gives it.
    pub async fn certificate(&mut self, before: &str) -> Result<String> {
        let path = self.place.folder().join("out/cert-chain.pem");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        self.program.until("given a certificate", async || !read().is_empty() && read() != before).await?;
        Ok(read())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// A port that nobody has on any address: the agent's status server listens on all of them and cannot be turned off.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}

/// What `openssl x509` says of the first certificate of a PEM text.
///
/// # Errors
/// There is none.
pub async fn facts(certificate: &str) -> Result<String> {
    let place = Place::new()?;
    let file = place.write("certificate.pem", certificate)?.display().to_string();
    let shown = run("openssl", &["x509", "-in", &file, "-noout", "-text"]).await?;
    ensure!(shown.contains("Validity"), "{shown}");
    Ok(shown)
}
