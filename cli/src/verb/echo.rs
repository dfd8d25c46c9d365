//! `diolkos echo`: a workload to try a gateway on.

use std::process::ExitCode;

use crate::arguments::Echo as Arguments;
use crate::echo::{Echo, EchoSettings};
use crate::exit::Failure;
use crate::report;

/// Serves until it is interrupted.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = super::runtime()?;
    let settings = EchoSettings {
        workload: arguments.workload.clone(),
        http: arguments.http.clone(),
        tcp: arguments.tcp.clone(),
        udp: arguments.udp.clone(),
        mesh: None,
    };
    if settings.http.is_empty() && settings.tcp.is_empty() && settings.udp.is_empty() {
        return Err(Failure::Usage("give at least one of --http, --tcp and --udp".to_owned()));
    }
    runtime.block_on(async {
        let echo = Echo::start(settings).await.map_err(|error| Failure::Settings(error.to_string()))?;
        for (protocol, address) in &echo.addresses {
            report::line(&format!("{protocol} {address}"));
        }
        tokio::select! {
            () = echo.run() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
