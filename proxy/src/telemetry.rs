//! What the proxy tells about itself: access log, metrics, traces.

pub mod access_log;
pub mod flags;
pub mod metrics;
pub mod trace;
