//! Starts `diolkos serve` on an address of its own and waits until it serves.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::place::Place;
use crate::wire;

/// A running gateway; killed with the value.
#[derive(Debug)]
pub struct Gateway {
    /// Its address and the folder that it serves.
    pub place: Place,
    child: Child,
}

impl Gateway {
    /// Serves these objects from a folder. `@IP@` in the text becomes the gateway's address.
    ///
    /// # Errors
    /// It does not get ready within half a minute; the error has the end of its log.
    pub async fn start(objects: &str) -> Result<Self> {
        Self::start_with(objects, &[]).await
    }

    /// The same with more arguments for `serve`.
    pub async fn start_with(objects: &str, arguments: &[&str]) -> Result<Self> {
        let place = Place::new()?;
        place.write("objects.yaml", objects)?;
        let folder = place.folder().to_owned();
        Self::serve(place, &folder, arguments).await
    }

    /// Serves a folder that is there already.
    pub async fn serve(place: Place, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let log = std::fs::File::create(place.folder().join(".log")).context("a log file")?;
        let output = std::fs::File::create(place.folder().join(".out")).context("an output file")?;
        let child = Command::new(binary()?)
            .arg("serve")
            .arg("-f")
            .arg(folder)
            .args(["--bind", &place.ip().to_string()])
            .args(["--admin", &place.at(15000).to_string()])
            .args(["--health", &place.at(15021).to_string()])
            .args(["--metrics", &place.at(15020).to_string()])
            .args(["--access-log", &place.folder().join(".access").display().to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("diolkos serve")?;
        let mut gateway = Self { place, child };
        gateway.until("ready", async |gateway| gateway.is_ready().await).await?;
        Ok(gateway)
    }

    /// Whether readiness says so.
    pub async fn is_ready(&self) -> bool {
        let request = "GET /healthz/ready HTTP/1.0\r\nHost: health\r\n\r\n";
        wire::exchange(self.place.at(15021), request)
            .await
            .is_ok_and(|answer| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// It does not within half a minute, or the process ends before.
    pub async fn until(&mut self, what: &str, holds: impl AsyncFn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self).await {
            if let Some(status) = self.child.try_wait().context("diolkos serve")? {
                bail!("diolkos serve ended with {status} before it was {what}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("not {what} within {PATIENCE:?}:\n{}", self.log());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Changes the objects.
    pub fn write(&self, name: &str, objects: &str) -> Result<()> {
        self.place.write(name, objects).map(drop)
    }

    /// A page of its admin interface.
    ///
    /// # Errors
    /// It is not answered 200.
    pub async fn page(&self, path: &str) -> Result<String> {
        wire::page(self.place.at(15000), path).await
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Result<String> {
        wire::page(self.place.at(15020), "/stats/prometheus").await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.text(".log")
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        self.text(".out")
    }

    /// Its access log.
    pub fn access_log(&self) -> String {
        self.text(".access")
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.folder().join(name)).unwrap_or_default()
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().context("diolkos serve has ended")?;
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await?;
        anyhow::ensure!(status.success(), "kill -{name} {pid}: {status}");
        Ok(())
    }

    /// Waits for its end and gives its exit code.
    pub async fn wait(&mut self) -> Result<Option<i32>> {
        let status = tokio::time::timeout(Duration::from_secs(90), self.child.wait())
            .await
            .context("diolkos serve does not end")??;
        Ok(status.code())
    }
}

/// The binary under test: `DIOLKOS` names it, else what `cargo xtask system` has built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DIOLKOS") {
        return Ok(path.into());
    }
    // target/PROFILE/deps/TEST → target
    let test = std::env::current_exe().context("the test's own path")?;
    let target = test.ancestors().nth(3).context("the test lies in a target folder")?;
    let built = target.join("release/diolkos");
    anyhow::ensure!(built.exists(), "{} is missing: run the tests by `cargo xtask system`", built.display());
    Ok(built)
}

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
