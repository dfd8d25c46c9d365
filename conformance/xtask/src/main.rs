//! Developer verbs: `cargo xtask VERB`.

mod crds;

use anyhow::Result;
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
    /// Write the Rust types of the Gateway API CRDs and the CRDs of our own kinds.
    Crds {
        /// Write nothing; fail if a file in the tree differs from what would be written.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Crds { check: true } => crds::check(),
        Verb::Crds { check: false } => crds::write(),
    }
}
