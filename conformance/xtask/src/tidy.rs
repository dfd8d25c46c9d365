//! `cargo xtask tidy`: the style rules that a program can check, as failures.

mod dependencies;
mod edges;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One broken rule.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    /// Path below the workspace root.
    file: PathBuf,
    /// From 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// Checks the whole tree; an error lists every violation.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut violations = Vec::new();
    let files = tracked_rust_files(root)?;
    for file in &files {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("{}", file.display()))?;
        violations.extend(source::check(file, &text));
        violations.extend(edges::check(file, &text));
    }
    violations.extend(dependencies::check(root)?);
    if violations.is_empty() {
        println!("tidy: {} files, no violation", files.len());
        return Ok(());
    }
    for violation in &violations {
        println!("{violation}");
    }
    bail!("tidy: {} violations", violations.len())
}

/// Files that git tracks or would track, generated ones left out.
fn tracked_rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    let listing = String::from_utf8(output.stdout).context("git ls-files printed no UTF-8")?;
    let files: Vec<PathBuf> = listing
        .lines()
        .map(PathBuf::from)
        .filter(|path| !path.components().any(|part| part.as_os_str() == "generated"))
        .filter(|path| root.join(path).exists())
        .collect();
    if files.is_empty() {
        bail!("git ls-files found no Rust file below {}", root.display());
    }
    Ok(files)
}
