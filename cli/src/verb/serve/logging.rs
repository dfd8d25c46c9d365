//! The process's own log: lines on standard error, by a filter that can be changed while it runs.

use std::io::IsTerminal;
use std::sync::Arc;

use proxy::settings::LogControl;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::exit::Failure;

/// Starts logging by a filter such as `info` or `proxy=debug,warn`. What comes back changes it.
pub(in crate::verb) fn start(filter: &str) -> Result<LogControl, Failure> {
    let parsed = parse(filter).map_err(|error| Failure::Settings(format!("--log {error}")))?;
    let (filter, handle) = reload::Layer::new(parsed);
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| Failure::Settings(format!("logging cannot start: {error}")))?;
    let level = handle.clone();
    Ok(LogControl {
        level: Arc::new(move || level.with_current(ToString::to_string).unwrap_or_default()),
        set_level: Arc::new(move |text| handle.reload(parse(text)?).map_err(|error| error.to_string())),
    })
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter)
        .map_err(|error| format!("{filter}: {error}; use a level or target=level pairs"))
}
