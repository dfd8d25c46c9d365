//! Starts a program of `target/peers`, keeps its log, waits until it is ready.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Where `conformance/peers/build` puts a program.
///
/// # Errors
/// It is not there.
pub fn path(name: &str) -> Result<PathBuf> {
    // target/PROFILE/deps/TEST or target/PROFILE/PROGRAM → target
    let own = std::env::current_exe().context("the test's own path")?;
    let found = own.ancestors().map(|folder| folder.join("peers").join(name)).find(|path| path.exists());
    found.with_context(|| format!("target/peers/{name} is missing: conformance/peers/build makes it"))
}

/// A program that runs for the length of a test, its output in a file; killed with the value.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts it; what it prints goes to `NAME.log` of the folder, which is also its working directory.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).context("a log file")?;
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("a log file")?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// What it has printed, over all its starts in this folder.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// It does not within a minute, or the program ends before; the error has the end of its log.
    pub async fn until(&mut self, what: &str, holds: impl AsyncFn() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was {what}:\n{}", self.name, self.end_of_log());
            }
            ensure!(Instant::now() < deadline, "{} is not {what}:\n{}", self.name, self.end_of_log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Sends a signal by name (`STOP`, `CONT`).
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        crate::run("kill", &[&format!("-{name}"), &pid.to_string()]).await.map(drop)
    }
}
