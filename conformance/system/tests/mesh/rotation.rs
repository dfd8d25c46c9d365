//! Certificates and roots that change under traffic; `cargo xtask rotate` is the long form.

use std::time::Duration;

use anyhow::{Context, Result};
use system::mesh::Authority;
use system::mesh::canary::Canary;
use system::mesh::load::Pace;
use system::mesh::rotation::Rotation;

use crate::istio::check_silence;

#[tokio::test]
async fn nothing_fails_while_everybody_is_renewed() -> Result<()> {
    let rotation = Rotation::start(Duration::from_secs(4)).await?;
    // Few, so that a busy machine is no reason for a failure; a handshake each, so that every renewal is seen.
    let pace = Pace { rate: 40, connections: 4, per_connection: 5 };
    let leaves = rotation.leaves(pace, Duration::from_secs(10)).await?;
    leaves.outcome.check().with_context(|| rotation.gateway.log())?;
    assert!(leaves.changes >= 3, "{leaves:?}");
    let root = rotation.root(pace).await?;
    root.outcome.check().with_context(|| rotation.gateway.log())?;
    let mut canary = Canary::default();
    canary.learn_folder(&rotation.issuer.place.folder().join("state"));
    check_silence(&canary, &rotation.gateway).await
}

#[tokio::test]
async fn nothing_fails_while_another_intermediate_takes_over() -> Result<()> {
    let life = Duration::from_secs(3600);
    let authority = Authority::new("first", life)?;
    let rotation = Rotation::start_below(&authority, Duration::from_secs(4)).await?;
    let pace = Pace { rate: 40, connections: 4, per_connection: 5 };
    let taken_over = rotation.intermediate(pace, &authority.renewed("second", life)?).await?;
    taken_over.outcome.check().with_context(|| rotation.gateway.log())
}
