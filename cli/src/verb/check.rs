//! `diolkos check`: statuses and problems of every object.

use std::process::ExitCode;

use serde::Serialize;

use crate::arguments::{Check, Format};
use crate::exit::{FOUND_ERRORS, Failure};
use crate::report::{self, findings, statuses};
use crate::source;

#[derive(Serialize)]
struct Report<'a> {
    statuses: Vec<statuses::ConditionRow>,
    problems: &'a [controller::Finding],
}

/// Prints what becomes of the objects; fails with 1 if something that they ask for is not done.
pub(crate) fn run(check: &Check) -> Result<ExitCode, Failure> {
    let world = source::world(&check.folder)?;
    let rows = statuses::rows(&world.output);
    match check.output {
        Format::Json => report::json(&Report { statuses: rows, problems: &world.findings }),
        Format::Table => {
            let table = statuses::table(&rows);
            if !table.is_empty() {
                report::line(&table.render());
            }
            report::print(&findings::lines(&world.findings));
            report::line(&summary(world.objects.len(), &world.findings));
        }
    }
    Ok(if world.has_errors() { ExitCode::from(FOUND_ERRORS) } else { ExitCode::SUCCESS })
}

/// `12 objects, 1 error, 0 warnings`.
pub(crate) fn summary(objects: usize, findings: &[controller::Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings) =
        (count(controller::world::Level::Error), count(controller::world::Level::Warning));
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!("{}, {}, {}", plural(objects, "object"), plural(errors, "error"), plural(warnings, "warning"))
}
