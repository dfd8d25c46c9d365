//! What a person at the terminal, or a program behind it, is told as the world changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use controller::World;
use controller::world::Level;
use proxy::app::{Applied, Surfaces};
use serde::Serialize;

use super::{greeting, new_findings};
use crate::arguments::Format;
use crate::report::{self, findings, rows};

/// Says what has changed, once.
#[derive(Debug)]
pub(super) struct Report {
    format: Format,
    surfaces: Surfaces,
    world: Option<Arc<World>>,
    applied: Option<Applied>,
    greeted: bool,
    known: BTreeSet<String>,
}

/// A line of `--output json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    listeners: Vec<rows::ListenerRow>,
    problems: &'a [controller::Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

impl Report {
    pub(super) fn new(format: Format, surfaces: Surfaces) -> Self {
        Self { format, surfaces, world: None, applied: None, greeted: false, known: BTreeSet::new() }
    }

    /// The objects have changed.
    pub(super) fn world(&mut self, world: Arc<World>) {
        self.world = Some(world);
        if self.greeted {
            self.tell();
        }
    }

    /// The proxy has taken a snapshot, or refused it.
    pub(super) fn applied(&mut self, applied: Applied) {
        self.applied = Some(applied);
        self.tell();
    }

    fn tell(&mut self) {
        let (Some(world), Some(applied)) = (self.world.clone(), self.applied.as_ref()) else { return };
        match self.format {
            Format::Json => {
                let state = State {
                    generation: world.generation,
                    admin: self.surfaces.admin,
                    health: self.surfaces.health,
                    metrics: self.surfaces.metrics,
                    listeners: greeting::listeners(&world, applied),
                    problems: &world.findings,
                    refused: applied.error.as_deref(),
                };
                report::line(&serde_json::to_string(&state).expect("our own types have string keys only"));
            }
            Format::Table if !self.greeted => report::print(&greeting::text(&world, applied, &self.surfaces)),
            Format::Table => {
                for finding in new_findings(&world, &self.known) {
                    let line = findings::line(finding);
                    match finding.level {
                        Level::Error => tracing::error!("{line}"),
                        Level::Warning => tracing::warn!("{line}"),
                        Level::Notice => tracing::info!("{line}"),
                    }
                }
                let (errors, generation) = (world.findings.len(), world.generation);
                tracing::info!(generation, problems = errors, "Objects read");
            }
        }
        self.greeted = true;
        self.known = world.findings.iter().map(findings::line).collect();
    }
}
