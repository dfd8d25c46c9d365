//! `cargo xtask rotate`: certificates and roots that change under load, against the released binary.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::binary;
use crate::system::build_peers;

/// Builds the binary and runs the measurement; it fails if a request fails.
pub(crate) fn run(root: &Path, seconds: Option<u64>, rate: Option<u64>) -> Result<()> {
    let binary = binary::released(root)?;
    build_peers(root, &["clients"])?;
    let mut command = Command::new("cargo");
    // The load generator shares the cores with what it measures.
    command.args(["run", "--quiet", "--locked", "--release", "--package", "system", "--bin", "rotate", "--"]);
    for (flag, value) in [("--seconds", seconds), ("--rate", rate)] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    let status = command.env("DIOLKOS", binary).current_dir(root).status().context("cargo run rotate")?;
    ensure!(status.success(), "rotate: {status}");
    Ok(())
}
