//! Istio's control plane as a plain process: its certificate authority on port 15012.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use super::http::Server;
use super::program::{self, Program};
use super::tokens::{Claims, ISSUER, Tokens};
use super::{Authority, api_server};
use crate::place::Place;
use crate::wire;

/// A running istiod, the tokens that it believes and the files that it signs with.
#[derive(Debug)]
pub struct Istiod {
    /// Its address and folder.
    pub place: Place,
    /// Who makes tokens that it believes.
    pub tokens: Tokens,
    program: Program,
    _api: Server,
}

impl Istiod {
    /// Starts it with an authority; SVIDs are good for `ttl` unless the caller asks for less or the authority ends before.
    pub async fn start(authority: &Authority, ttl: Duration) -> Result<Self> {
        let place = Place::new()?;
        authority.write_cacerts(&place.folder().join("cacerts"), &[])?;
        place.write("root.pem", authority.root())?;
        let tokens = Tokens::start(place.at(8090)).await?;
        let api = api_server::start(place.at(6443)).await?;
        place.write("kubeconfig", &api_server::kubeconfig(place.at(6443)))?;
        place.write("mesh.yaml", "trustDomain: cluster.local\n")?;
        let program = spawn(&place, &tokens, ttl)?;
        let mut istiod = Self { place, tokens, program, _api: api };
        istiod.ready().await?;
        Ok(istiod)
    }

    /// Ends it and starts it again, with another authority.
    pub async fn restart(&mut self, authority: &Authority, ttl: Duration) -> Result<()> {
        self.program.kill().await?;
        authority.write_cacerts(&self.place.folder().join("cacerts"), &[])?;
        self.program = spawn(&self.place, &self.tokens, ttl)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let (health, ca) = (self.place.at(8080), self.address());
        self.program
            .until("ready", async || {
                let request = "GET /ready HTTP/1.0\r\nHost: istiod\r\n\r\n";
                let answer = wire::exchange(health, request).await;
                answer.is_ok_and(|answer| answer.contains(" 200 "))
                    && tokio::net::TcpStream::connect(ca).await.is_ok()
            })
            .await
    }

    /// Its certificate authority. The certificate that it shows has this address.
    pub fn address(&self) -> SocketAddr {
        self.place.at(15012)
    }

    /// The file with the root that its own certificate chains to (until it is started with another).
    pub fn root(&self) -> PathBuf {
        self.place.folder().join("root.pem")
    }

    /// A file with a token that says this.
    pub fn token(&self, name: &str, claims: &Claims) -> Result<PathBuf> {
        self.place.write(name, &self.tokens.token(claims)?)
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.kill().await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

fn spawn(place: &Place, tokens: &Tokens, ttl: Duration) -> Result<Program> {
    let ip = place.ip().to_string();
    let rule =
        format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"{}\",\"audiences\":[\"istio-ca\"]}}", tokens.url());
    let mut command = Command::new(program::path("istiod")?);
    command
        .arg("discovery")
        .args(["--kubeconfig", "kubeconfig", "--meshConfig", "mesh.yaml", "--httpsAddr", ""])
        .args(["--httpAddr", &place.at(8080).to_string(), "--grpcAddr", &place.at(15010).to_string()])
        .args(["--secureGRPCAddr", &place.at(15012).to_string()])
        .args(["--monitoringAddr", &place.at(15014).to_string()])
        .args(["--ctrlz_address", &ip, "--keepaliveMaxServerConnectionAge", "1h"])
        .env("JWT_RULE", rule)
        .env("ROOT_CA_DIR", place.folder().join("cacerts"))
        .env("ISTIOD_CUSTOM_HOST", &ip)
        .env("DEFAULT_WORKLOAD_CERT_TTL", format!("{}s", ttl.as_secs()))
        .envs([
            ("POD_NAME", "istiod-0"),
            ("POD_NAMESPACE", "istio-system"),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("ENABLE_CA_SERVER", "true"),
            ("PILOT_ENABLE_GATEWAY_API", "false"),
            ("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "false"),
            ("PILOT_ENABLE_GATEWAY_API_STATUS", "false"),
        ]);
    Program::start("istiod", place.folder(), &mut command)
}
