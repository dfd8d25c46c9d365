//! SPIRE: a server, and an agent whose socket is a Workload API.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::program::{self, Program};
use crate::place::Place;
use crate::run;

/// A server and its agent.
#[derive(Debug)]
pub struct Spire {
    /// Its address and folder.
    pub place: Place,
    trust_domain: String,
    server: Program,
    agent: Option<Program>,
}

impl Spire {
    /// Starts a server for a trust domain; it publishes its bundle on port 8443 by `https_spiffe`.
    pub async fn start(trust_domain: &str) -> Result<Self> {
        let place = Place::new()?;
        let folder = place.folder().display().to_string();
        place.write("server.conf", &SERVER.replace("DIR", &folder).replace("DOMAIN", trust_domain))?;
        let mut command = Command::new(program::path("spire-server")?);
        let server =
            Program::start("spire-server", place.folder(), command.args(["run", "-config", "server.conf"]))?;
        let mut spire = Self { place, trust_domain: trust_domain.to_owned(), server, agent: None };
        let socket = spire.server_socket();
        spire
            .server
            .until("ready", async || {
                let socket = socket.display().to_string();
                let arguments = ["healthcheck", "-socketPath", &socket];
                match program::path("spire-server") {
                    Ok(program) => run(&program.display().to_string(), &arguments).await.is_ok(),
                    Err(_) => false,
                }
            })
            .await?;
        Ok(spire)
    }

    /// Starts the agent.
    pub async fn start_agent(&mut self) -> Result<()> {
        let bundle = self.ask(&["bundle", "show"]).await?;
        self.place.write("bootstrap.pem", &bundle)?;
        let token = self.ask(&["token", "generate", "-spiffeID", &self.id("/host")]).await?;
        let token = token.trim().trim_start_matches("Token: ").to_owned();
        let folder = self.place.folder().display().to_string();
        let configuration = AGENT.replace("DIR", &folder).replace("DOMAIN", &self.trust_domain);
        self.place.write("agent.conf", &configuration)?;
        let mut command = Command::new(program::path("spire-agent")?);
        command.args(["run", "-config", "agent.conf", "-joinToken", &token]);
        let mut agent = Program::start("spire-agent", self.place.folder(), &mut command)?;
        let socket = self.place.folder().join("agent.sock");
        agent.until("ready", async || UnixStream::connect(&socket).await.is_ok()).await?;
        self.agent = Some(agent);
        Ok(())
    }

    /// Ends the agent at once.
    pub async fn stop_agent(&mut self) -> Result<()> {
        match self.agent.take() {
            Some(mut agent) => agent.kill().await,
            None => Ok(()),
        }
    }

    /// Gives every process of this user an SVID, good for `ttl` seconds; it believes the trust domains of `federates` too.
    pub async fn register(&self, path: &str, ttl: u32, federates: &[&str]) -> Result<()> {
        let uid = run("id", &["-u"]).await?;
        self.register_by(path, ttl, federates, &format!("unix:uid:{}", uid.trim())).await
    }

    /// The same for the processes that run a program.
    pub async fn register_program(
        &self,
        path: &str,
        ttl: u32,
        federates: &[&str],
        program: &Path,
    ) -> Result<()> {
        self.register_by(path, ttl, federates, &format!("unix:path:{}", program.display())).await
    }

    async fn register_by(&self, path: &str, ttl: u32, federates: &[&str], selector: &str) -> Result<()> {
        let (parent, id, ttl) = (self.id("/host"), self.id(path), ttl.to_string());
        let mut arguments = vec!["entry", "create", "-parentID", &parent, "-spiffeID", &id];
        arguments.extend(["-selector", selector, "-x509SVIDTTL", &ttl]);
        let domains: Vec<String> = federates.iter().map(|domain| format!("spiffe://{domain}")).collect();
        for domain in &domains {
            arguments.extend(["-federatesWith", domain]);
        }
        self.ask(&arguments).await.map(drop)
    }

    /// Takes the registration of an ID back.
    pub async fn unregister(&self, path: &str) -> Result<()> {
        let shown = self.ask(&["entry", "show", "-spiffeID", &self.id(path)]).await?;
        for line in shown.lines() {
            if let Some(entry) = line.strip_prefix("Entry ID") {
                let entry = entry.trim_start_matches([' ', ':']).trim();
                self.ask(&["entry", "delete", "-entryID", entry]).await?;
            }
        }
        Ok(())
    }

    /// Believes another server's trust domain, whose bundle it fetches from there on.
    pub async fn federate(&self, other: &Self) -> Result<()> {
        let bundle = self.place.write("other.bundle", &other.bundle().await?)?.display().to_string();
        let url = format!("https://{}", other.place.at(8443));
        let (domain, server) = (other.trust_domain.as_str(), other.id("/spire/server"));
        let mut arguments = vec!["federation", "create", "-trustDomain", domain, "-bundleEndpointURL", &url];
        arguments.extend(["-bundleEndpointProfile", "https_spiffe", "-endpointSpiffeID", &server]);
        arguments.extend(["-trustDomainBundleFormat", "spiffe", "-trustDomainBundlePath", &bundle]);
        self.ask(&arguments).await.map(drop)
    }

    /// Its bundle document.
    pub async fn bundle(&self) -> Result<String> {
        self.ask(&["bundle", "show", "-format", "spiffe"]).await
    }

    /// A SPIFFE ID of its trust domain.
    pub fn id(&self, path: &str) -> String {
        format!("spiffe://{}{path}", self.trust_domain)
    }

    /// The agent's socket, as clients are told it.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.place.folder().join("agent.sock").display())
    }

    /// What both have logged.
    pub fn log(&self) -> String {
        let agent = self.agent.as_ref().map(Program::log).unwrap_or_default();
        format!("{}{agent}", self.server.log())
    }

    /// Runs a verb of the server's command line.
    pub async fn ask(&self, verb: &[&str]) -> Result<String> {
        let (socket, split) = (self.server_socket().display().to_string(), 2.min(verb.len()));
        let (verb, rest) = verb.split_at(split);
        let program = program::path("spire-server")?.display().to_string();
        run(&program, &[verb, &["-socketPath", &socket], rest].concat()).await
    }

    fn server_socket(&self) -> PathBuf {
        self.place.folder().join("server.sock")
    }
}

const SERVER: &str = r#"
server {
  bind_address = "@IP@"
  bind_port = "8081"
  socket_path = "DIR/server.sock"
  trust_domain = "DOMAIN"
  data_dir = "DIR/server"
  log_level = "INFO"
  ca_key_type = "ec-p256"
  ca_ttl = "1h"
  default_x509_svid_ttl = "5m"
  federation { bundle_endpoint { address = "@IP@" port = 8443 refresh_hint = "5s" profile "https_spiffe" {} } }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "DIR/server.sqlite3" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "disk" { plugin_data { keys_path = "DIR/server.keys" } }
}
"#;

const AGENT: &str = r#"
agent {
  data_dir = "DIR/agent"
  log_level = "INFO"
  server_address = "@IP@"
  server_port = "8081"
  socket_path = "DIR/agent.sock"
  trust_bundle_path = "DIR/bootstrap.pem"
  trust_domain = "DOMAIN"
  experimental { sync_interval = "1s" }
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data { discover_workload_path = true } }
}
"#;
