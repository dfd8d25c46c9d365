//! Developer verbs, `cargo xtask VERB`: one door for people and for CI.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod check;
mod crds;
mod system;
mod tidy;

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
    /// Run rustfmt, clippy with -D warnings, and tidy.
    Check,
    /// Write the Rust types of the Gateway API CRDs and the CRDs of our own kinds.
    Crds {
        /// Write nothing; fail if a file in the tree differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Build the released binary and test it with real peers.
    System {
        /// Just the tests whose names contain this.
        filter: Option<String>,
    },
    /// Check style rules, dependency fences, bans, licences and sources.
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    let root = workspace_root()?;
    match verb {
        Verb::Check => check::run(&root),
        Verb::Crds { check: true } => crds::check(),
        Verb::Crds { check: false } => crds::write(),
        Verb::System { filter } => system::run(&root, filter.as_deref()),
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
