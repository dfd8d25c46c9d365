//! `diolkos probe`: one request of any protocol that the gateway carries.

use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::Probe as Arguments;
use crate::exit::{FOUND_ERRORS, Failure};
use crate::probe::{Probe, ProbeError};
use crate::report;

/// Prints the answer; fails with 1 if it is no success, with 3 if there is none.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let probe = Probe {
        url: arguments.url.clone(),
        method: arguments.method.clone(),
        headers: headers(&arguments.headers)?,
        data: arguments.data.clone(),
        connect: arguments.connect,
        ca: arguments.cacert.clone(),
        insecure: arguments.insecure,
        mesh: arguments.socket.clone().zip(arguments.spiffe_id.clone()),
        timeout: Duration::from_secs(arguments.timeout),
    };
    let answer = super::runtime()?.block_on(probe.send()).map_err(|error| match error {
        ProbeError::Usage(text) => Failure::Usage(text),
        ProbeError::Failed(text) => Failure::Unreachable(text),
    })?;
    report::line(&answer.status);
    for (name, value) in &answer.headers {
        report::line(&format!("{name}: {value}"));
    }
    report::line(&format!("\n{}", answer.body));
    Ok(if answer.success { ExitCode::SUCCESS } else { ExitCode::from(FOUND_ERRORS) })
}

/// `NAME: VALUE` pairs, as curl takes them.
pub(super) fn headers(lines: &[String]) -> Result<Vec<(String, String)>, Failure> {
    lines
        .iter()
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Failure::Usage(format!("{line:?} is no header NAME: VALUE")))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}
