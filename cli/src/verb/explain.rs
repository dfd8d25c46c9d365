//! `diolkos explain`: what would happen to a request, and why, by the very matcher of the data path.

use std::process::ExitCode;

use proxy::compiled::{BuildContext, Compiled};
use proxy::explain::{self, Question};
use proxy::mesh::MeshIdentities;

use crate::arguments::{Explain, Format};
use crate::exit::{FOUND_ERRORS, Failure};
use crate::{report, source};

/// Prints the way of a request; fails with 1 if it reaches no backend and no answer of a route.
pub(crate) fn run(explain: &Explain) -> Result<ExitCode, Failure> {
    let mut question = Question::new(&explain.method, &explain.url, &explain.headers)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    question.sni.clone_from(&explain.sni);
    let world = source::world(&explain.folder)?;
    let identities = MeshIdentities::dormant(&world.snapshot);
    let context = BuildContext { generation: world.generation, identities, ..BuildContext::default() };
    let compiled = Compiled::build(&world.snapshot, None, &context)
        .map_err(|error| Failure::Settings(format!("the proxy would refuse these objects: {error}")))?;
    let explanations = explain::explain(&compiled, &question);
    match explain.output {
        Format::Json => report::json(&explanations),
        Format::Table => {
            for explanation in &explanations {
                report::line(&format!("{explanation}"));
            }
        }
    }
    let served = explanations.iter().any(|explanation| explanation.route.is_some());
    Ok(if served { ExitCode::SUCCESS } else { ExitCode::from(FOUND_ERRORS) })
}
