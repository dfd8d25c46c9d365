//! `cargo xtask rotate`: certificates and roots that change under load, against the released binary.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::binary;
use crate::system::build_peers;

/// Builds the binary and runs the measurement; it fails if a request fails.
pub(crate) fn run(root: &Path, seconds: Option<u64>, rate: Option<u64>) -> Result<()> {
    let binary = binary::released(root)?;
    build_peers(root, &["clients"])?;
    let mut command = command(root, &binary);
    for (flag, value) in [("--seconds", seconds), ("--rate", rate)] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    let status = command.status().context("cargo run rotate")?;
    ensure!(status.success(), "rotate: {status}");
    Ok(())
}

/// What a measurement has printed.
#[derive(Debug)]
pub(crate) struct Measured {
    /// A line for each phase.
    pub(crate) text: String,
    /// Whether every request was answered, at the rate.
    pub(crate) success: bool,
}

/// Runs the measurement as it stands by default.
pub(crate) fn measured(root: &Path, binary: &Path) -> Result<Measured> {
    let output = command(root, binary).stderr(Stdio::inherit()).output().context("cargo run rotate")?;
    Ok(Measured {
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        success: output.status.success(),
    })
}

fn command(root: &Path, binary: &Path) -> Command {
    let mut command = Command::new("cargo");
    // The load generator shares the cores with what it measures.
    command.args(["run", "--quiet", "--locked", "--release", "--package", "system", "--bin", "rotate", "--"]);
    command.env("DIOLKOS", binary).current_dir(root);
    command
}
