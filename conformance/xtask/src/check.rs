//! `cargo xtask check`: what must hold before a change lands, tests apart.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs rustfmt, clippy and tidy; the first failure ends it.
pub(crate) fn run(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    let features = "system/peers,model/proto";
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--features", features];
    cargo(root, &[&clippy[..], &["--", "-D", "warnings"]].concat())?;
    crate::tidy::run(root)
}

/// Runs cargo; fails if it does.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    println!("cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).current_dir(root).status().context("cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}
