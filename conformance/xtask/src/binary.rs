//! The released binary that suites and measurements drive.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::check::cargo;

/// Builds the released binary and says where it is. `DIOLKOS` in the environment names another one.
pub(crate) fn released(root: &Path) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DIOLKOS") {
        return Ok(path.into());
    }
    cargo(root, &["build", "--release", "--locked", "--package", "diolkos"])?;
    let metadata = metadata(root)?;
    let target =
        metadata.get("target_directory").and_then(Value::as_str).context("cargo has a target folder")?;
    Ok(Path::new(target).join("release/diolkos"))
}

/// The locked version of a package.
pub(crate) fn locked_version(root: &Path, package: &str) -> Result<String> {
    let metadata = metadata(root)?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("cargo metadata lists packages")?;
    let field = |found: &Value, name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
    let found = packages.iter().find(|found| field(found, "name").as_deref() == Some(package));
    found.and_then(|found| field(found, "version")).with_context(|| format!("{package} is no dependency"))
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}
