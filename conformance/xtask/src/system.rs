//! `cargo xtask system`: builds the released binary and runs the whole-system tests with real peers.

use std::path::Path;

use anyhow::Result;

use crate::check::cargo;

/// Builds and tests; `filter` picks tests by name.
pub(crate) fn run(root: &Path, filter: Option<&str>) -> Result<()> {
    cargo(root, &["build", "--release", "--locked", "--package", "diolkos"])?;
    let mut arguments = vec!["test", "--locked", "--package", "system", "--features", "peers"];
    arguments.extend(filter.map(|_| "--"));
    arguments.extend(filter);
    cargo(root, &arguments)
}
