//! Developer verbs, `cargo xtask VERB`: one door for people and for CI.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod bench;
mod binary;
mod check;
mod conformance;
mod crds;
mod fuzz;
mod protos;
mod rotate;
mod rustfmt;
mod swap;
mod system;
mod tidy;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Developer verbs of the Diolkos workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure what things cost; `cargo xtask bench --help` lists the scenarios.
    #[command(disable_help_flag = true)]
    Bench {
        /// For the bench.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run rustfmt, clippy with -D warnings, and tidy.
    Check,
    /// Run a foreign suite against the released binary and write its report.
    Conformance {
        #[command(subcommand)]
        suite: conformance::Suite,
    },
    /// Write the Rust types of the Gateway API CRDs and the CRDs of our own kinds.
    Crds {
        /// Write nothing; fail if a file in the tree differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Fuzz one target with libFuzzer; needs the nightly toolchain.
    Fuzz {
        /// Its name; a wrong one lists all.
        target: String,
        /// For how long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Swap the configuration of the released binary once a second under load; no request may fail.
    Swap {
        /// For how long.
        #[arg(long)]
        seconds: Option<u64>,
        /// Requests per second.
        #[arg(long)]
        rate: Option<u64>,
    },
    /// Rotate certificates every two seconds, then the root, under load with mTLS on both sides; no request may fail.
    Rotate {
        /// For how long certificates are rotated.
        #[arg(long)]
        seconds: Option<u64>,
        /// Requests per second.
        #[arg(long)]
        rate: Option<u64>,
    },
    /// Build the released binary and the foreign peers, and test it with them.
    System {
        /// Just the tests whose names contain this.
        filter: Option<String>,
    },
    /// Write the Rust types of the wire form between a controller and its proxies.
    Protos {
        /// Write nothing; fail if a file in the tree differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Check style rules, dependency fences, bans, licences and sources.
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
            if error.is::<Missing>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Something that the verb needs and this machine or this tree has not; the text says how to get it.
#[derive(Debug)]
struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

fn run(verb: Verb) -> Result<()> {
    let root = workspace_root()?;
    match verb {
        Verb::Bench { arguments } => bench::run(&root, &arguments),
        Verb::Check => check::run(&root),
        Verb::Conformance { suite } => conformance::run(&root, suite),
        Verb::Crds { check: true } => crds::check(),
        Verb::Crds { check: false } => crds::write(),
        Verb::Fuzz { target, seconds } => fuzz::run(&root, &target, seconds),
        Verb::Swap { seconds, rate } => swap::run(&root, seconds, rate),
        Verb::Rotate { seconds, rate } => rotate::run(&root, seconds, rate),
        Verb::System { filter } => system::run(&root, filter.as_deref()),
        Verb::Protos { check: true } => protos::check(&root),
        Verb::Protos { check: false } => protos::write(&root),
        Verb::Tidy => tidy::run(&root),
    }
}

/// The folder of the workspace's `Cargo.toml`.
fn workspace_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the xtask crate lies two levels below the workspace root")
}
