//! Rotation under load: a leaf every two seconds, then the root with overlap, then an intermediate; mTLS on both sides of
//! the gateway.
//!
//! `cargo xtask rotate [--seconds N] [--rate N]` runs it; it fails if a request fails or the rate is not reached.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use system::mesh::Authority;
use system::mesh::load::{Outcome, Pace};
use system::mesh::rotation::Rotation;

#[derive(Parser)]
struct Arguments {
    /// How long leaves are rotated
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Requests per second
    #[arg(long, default_value_t = 3300)]
    rate: u64,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: u64,
    /// Requests of a connection before it makes room for a new one
    #[arg(long, default_value_t = 200)]
    per_connection: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { seconds, rate, connections, per_connection } = Arguments::parse();
    let pace = Pace { rate, connections, per_connection };
    let rotation = Rotation::start(TTL).await?;
    let leaves = rotation.leaves(pace, Duration::from_secs(seconds)).await?;
    println!("leaves: {} changes; {}", leaves.changes, leaves.outcome);
    let root = rotation.root(pace).await?;
    println!("root:   {} changes; {}", root.changes, root.outcome);
    drop(rotation);
    let authority = Authority::new("first", AUTHORITY_LIFE)?;
    let rotation = Rotation::start_below(&authority, TTL).await?;
    let intermediate = rotation.intermediate(pace, &authority.renewed("second", AUTHORITY_LIFE)?).await?;
    println!("intermediate: {} changes; {}", intermediate.changes, intermediate.outcome);
    let outcomes = [&leaves.outcome, &root.outcome, &intermediate.outcome];
    outcomes.into_iter().try_for_each(Outcome::check)?;
    let wanted = seconds / 2 * 4 / 5;
    ensure!(leaves.changes >= wanted, "only {} rotations in {seconds} s", leaves.changes);
    for outcome in outcomes {
        let floor = (rate * 9 / 10).min(FLOOR) as f64;
        ensure!(
            outcome.rate >= floor,
            "only {:.0} requests/s: the machine is too busy for a verdict",
            outcome.rate
        );
    }
    Ok(())
}

/// Of SVIDs: they are renewed at half of it, every two seconds.
const TTL: Duration = Duration::from_secs(4);
const AUTHORITY_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Requests per second below which the run shows nothing.
const FLOOR: u64 = 3000;
