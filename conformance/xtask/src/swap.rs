//! `cargo xtask swap`: one configuration change a second under load, against the released binary.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::binary;

/// Builds the binary and runs the measurement; it fails if a request fails or sees two configurations.
pub(crate) fn run(root: &Path, seconds: Option<u64>, rate: Option<u64>) -> Result<()> {
    let binary = binary::released(root)?;
    let mut command = Command::new("cargo");
    // The load generator shares the cores with what it measures.
    command.args(["run", "--quiet", "--locked", "--release", "--package", "system", "--bin", "swap", "--"]);
    for (flag, value) in [("--seconds", seconds), ("--rate", rate)] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    let status = command.env("DIOLKOS", binary).current_dir(root).status().context("cargo run swap")?;
    ensure!(status.success(), "swap: {status}");
    Ok(())
}
