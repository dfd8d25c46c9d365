//! `diolkos get`: what a folder or a running gateway serves, as rows.

use std::net::SocketAddr;
use std::process::ExitCode;

use model::Snapshot;
use serde::Serialize;

use crate::arguments::{Format, Get, What};
use crate::exit::Failure;
use crate::report;
use crate::report::rows::{self, Rows};
use crate::{admin, source};

/// Prints rows of one sort.
pub(crate) fn run(get: &Get) -> Result<ExitCode, Failure> {
    let snapshot = match (get.admin, &get.folder) {
        (Some(address), _) => running(address)?,
        (None, Some(folder)) => Snapshot::clone(&source::world(folder)?.snapshot),
        (None, None) => return Err(Failure::Usage("give -f DIR or --admin ADDR".to_owned())),
    };
    match get.what {
        What::Listeners => print(rows::listeners(&snapshot), get.output),
        What::Routes => print(rows::routes(&snapshot), get.output),
        What::Backends => print(rows::backends(&snapshot), get.output),
        What::Endpoints => print(rows::endpoints(&snapshot), get.output),
    }
    Ok(ExitCode::SUCCESS)
}

fn print<T: Serialize>(rows: Vec<T>, format: Format)
where
    Vec<T>: Rows,
{
    match format {
        Format::Json => report::json(&rows),
        Format::Table => report::print(&rows.table().render()),
    }
}

/// The snapshot that a gateway serves, without its secrets.
fn running(address: SocketAddr) -> Result<Snapshot, Failure> {
    let text = admin::get(address, "/config_dump")?;
    let dump: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Unreachable(format!("{address} answers no JSON: {error}")))?;
    let snapshot = dump.get("snapshot").cloned().unwrap_or(dump);
    serde_json::from_value(snapshot).map_err(|error| {
        Failure::Unreachable(format!("{address} is not an admin interface of this version: {error}"))
    })
}
