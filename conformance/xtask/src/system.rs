//! `cargo xtask system`: builds the released binary and the foreign peers, and runs the whole-system tests with them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::check::cargo;

/// Builds and tests; `filter` picks tests by name.
pub(crate) fn run(root: &Path, filter: Option<&str>) -> Result<()> {
    cargo(root, &["build", "--release", "--locked", "--package", "diolkos"])?;
    build_peers(root, &[])?;
    let mut arguments = vec!["test", "--locked", "--package", "system", "--features", "peers"];
    arguments.extend(filter.map(|_| "--"));
    arguments.extend(filter);
    cargo(root, &arguments)
}

/// Builds foreign mesh members, all or the named; those that are there are kept.
pub(crate) fn build_peers(root: &Path, names: &[&str]) -> Result<()> {
    let script = root.join("conformance/peers/build");
    let status =
        Command::new(&script).args(names).status().with_context(|| format!("{}", script.display()))?;
    ensure!(status.success(), "conformance/peers/build: {status}");
    Ok(())
}
