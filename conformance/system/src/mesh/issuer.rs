//! `diolkos issuer` on a place of its own.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::program::Program;
use crate::place::Place;
use crate::{gateway, run, wire};

/// A running issuer for the trust domain `cluster.local`, its Istio CA on port 15012, its bundle endpoint on 8443.
#[derive(Debug)]
pub struct Issuer {
    /// Its address and folder; objects lie below `objects`, state below `state`.
    pub place: Place,
    arguments: Vec<String>,
    program: Program,
}

impl Issuer {
    /// Starts it with these objects and more arguments. `DIR` in an argument is its folder, `@IP@` its address.
    pub async fn start(objects: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_at(Place::new()?, objects, arguments).await
    }

    /// The same at a place where files lie already.
    pub async fn start_at(place: Place, objects: &str, arguments: &[&str]) -> Result<Self> {
        place.write("objects/objects.yaml", objects)?;
        let folder = place.folder().display().to_string();
        let ip = place.ip().to_string();
        let arguments = arguments
            .iter()
            .map(|text| text.replace("DIR", &folder).replace("@IP@", &ip))
            .collect::<Vec<_>>();
        let program = spawn(&place, &arguments)?;
        let mut issuer = Self { place, arguments, program };
        issuer.ready().await?;
        Ok(issuer)
    }

    /// Ends it at once and starts it again with what it has kept.
    pub async fn restart(&mut self) -> Result<()> {
        self.program.kill().await?;
        self.program = spawn(&self.place, &self.arguments)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let admin = self.place.at(15100);
        self.program.until("ready", async || wire::page(admin, "/status").await.is_ok()).await
    }

    /// Changes its objects.
    pub fn write(&self, objects: &str) -> Result<()> {
        self.place.write("objects/objects.yaml", objects).map(drop)
    }

    /// Its Workload API, as clients are told it.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.place.folder().join("workload.sock").display())
    }

    /// A page of its admin interface.
    pub async fn page(&self, path: &str) -> Result<String> {
        wire::page(self.place.at(15100), path).await
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Result<String> {
        wire::page(self.place.at(15120), "/metrics").await
    }

    /// Its bundle document, as a file.
    pub async fn bundle(&self) -> Result<PathBuf> {
        self.place.write("bundle.json", &self.page("/bundle").await?)
    }

    /// The roots of that, as a PEM file.
    pub async fn roots(&self) -> Result<PathBuf> {
        let document: Value = serde_json::from_str(&self.page("/bundle").await?).context("the bundle")?;
        let mut pem = String::new();
        for key in document.get("keys").and_then(Value::as_array).into_iter().flatten() {
            if let Some(certificate) = key.pointer("/x5c/0").and_then(Value::as_str) {
                pem += &format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
            }
        }
        self.place.write("roots.pem", &pem)
    }

    /// Starts a rotation of its root, as people do.
    pub async fn rotate_root(&self, force: bool) -> Result<String> {
        let (program, admin) = (gateway::binary()?.display().to_string(), self.place.at(15100).to_string());
        let mut arguments = vec!["issuer", "rotate-root", "--admin", &admin];
        arguments.extend(force.then_some("--force"));
        run(&program, &arguments).await
    }

    /// What it has logged and printed.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Sends a signal by name (`STOP`, `CONT`).
    pub async fn signal(&self, name: &str) -> Result<()> {
        self.program.signal(name).await
    }
}

fn spawn(place: &Place, arguments: &[String]) -> Result<Program> {
    let mut command = Command::new(gateway::binary()?);
    command
        .args(["issuer", "--trust-domain", "cluster.local", "--state", "state", "-f", "objects"])
        .args(["--ca", &place.at(15012).to_string(), "--bundle", &place.at(8443).to_string()])
        .args(["--workload-api", &place.folder().join("workload.sock").display().to_string()])
        .args(["--admin", &place.at(15100).to_string(), "--metrics", &place.at(15120).to_string()])
        .args(["--dns-name", SERVER_NAME])
        .args(arguments);
    Program::start("issuer", place.folder(), &mut command)
}

/// The name in the certificate of its Istio CA.
pub const SERVER_NAME: &str = "istiod.istio-system.svc";
