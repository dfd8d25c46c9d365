//! `cargo xtask bench`: builds the bench for release and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Hands the arguments on.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--locked", "--package", "bench", "--"])
        .args(arguments)
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the bench: {status}");
    Ok(())
}
