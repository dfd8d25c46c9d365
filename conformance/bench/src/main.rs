//! What things cost: `cargo xtask bench`. Programs for people and reports, never timed tests.
//!
//! | scenario | what |
//! |---|---|
//! | `translate` | objects to snapshot: from nothing, and again after one change |
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod translation;

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// What is measured; all by default
    #[arg(long, value_delimiter = ',', default_values_t = Scenario::ALL)]
    scenarios: Vec<Scenario>,
    /// Rounds; the median is reported
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    Translate,
}

impl Scenario {
    const ALL: [Self; 1] = [Self::Translate];
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Translate => "translate",
        })
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for scenario in arguments.scenarios {
        match scenario {
            Scenario::Translate => translation::run(arguments.rounds)?,
        }
    }
    Ok(())
}
