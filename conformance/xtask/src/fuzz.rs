//! `cargo xtask fuzz TARGET`: builds a fuzz target with the compiler's coverage counters and runs libFuzzer on it.
//!
//! It needs the nightly toolchain (`rustup toolchain install nightly`) and a C++ compiler for libFuzzer; cargo-fuzz is
//! not needed. Inputs that reach new code are kept below the fuzz crate's `target/corpus`, which is not committed;
//! what breaks a promise is written to `target/artifacts`, and belongs into `seeds` once it is mended.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::Missing;

/// Builds and runs one target for some seconds; a broken promise is an error.
pub(crate) fn run(root: &Path, name: &str, seconds: u64) -> Result<()> {
    let Some((target, folder)) = TARGETS.iter().find(|(target, _)| *target == name) else {
        let names: Vec<_> = TARGETS.iter().map(|(target, _)| *target).collect();
        bail!(Missing(format!("there is no fuzz target {name}; there are {}", names.join(", "))));
    };
    let folder = root.join(folder);
    build(&folder, target)?;
    let output = folder.join("target");
    let (corpus, artifacts) = (output.join("corpus").join(target), output.join("artifacts").join(target));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let status = Command::new(output.join(TRIPLE).join("release").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1"])
        .args([&corpus, &folder.join("seeds").join(target)])
        .status()
        .context("start the fuzz target")?;
    ensure!(status.success(), "{target}: {status}; the input is below {}", artifacts.display());
    Ok(())
}

fn build(folder: &Path, target: &str) -> Result<()> {
    // Both are set by the cargo that runs us, and would choose its toolchain.
    let status = Command::new("rustup")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .args([
            "run",
            "nightly",
            "cargo",
            "build",
            "--release",
            "--locked",
            "--target",
            TRIPLE,
            "--bin",
            target,
        ])
        .arg("--target-dir")
        .arg(folder.join("target"))
        .current_dir(folder)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("{target} cannot be built; is nightly there (rustup toolchain install nightly)?"),
        Err(_) => {
            bail!(Missing("fuzzing needs rustup and its nightly toolchain (https://rustup.rs)".to_owned()))
        }
    }
}

/// Targets and the crates that hold them.
const TARGETS: &[(&str, &str)] = &[
    ("client_hello", "proxy/fuzz"),
    ("proxy_header", "proxy/fuzz"),
    ("request_heads", "proxy/fuzz"),
    ("canonical", "proxy/fuzz"),
    ("xfcc", "proxy/fuzz"),
    ("objects", "controller/translate/fuzz"),
    ("spiffe_id", "identity/fuzz"),
    ("certificate_chain", "identity/fuzz"),
    ("bundle_document", "identity/fuzz"),
    ("jwt_svid", "identity/fuzz"),
    ("csr", "identity/issuer/fuzz"),
];

/// With an explicit target the flags below stay away from build scripts and procedural macros.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// What libFuzzer needs, as cargo-fuzz sets it. No address sanitizer: our code has no `unsafe`.
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_source_and_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (target, folder) in TARGETS {
            let folder = root.join(folder);
            assert!(
                folder.join("targets").join(target).with_extension("rs").exists(),
                "{target} has no source"
            );
            let seeds = fs::read_dir(folder.join("seeds").join(target)).unwrap();
            assert!(seeds.count() > 1, "{target} has no seeds");
        }
    }
}
