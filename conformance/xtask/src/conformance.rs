//! `cargo xtask conformance SUITE`: foreign suites against the released binary, and their committed reports.

mod gateway;
mod h2spec;
mod identity;
mod junit;

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;

/// A foreign suite.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub(crate) enum Suite {
    /// HTTP/2 conformance by h2spec, in the clear and over TLS; needs Go.
    H2spec,
    /// The gateway and the issuer among istiod, SPIRE, Envoy and SPIFFE workloads, and rotation under load; needs Go
    /// and Python.
    Identity,
}

/// Runs a suite and writes its report below `conformance/reports`.
pub(crate) fn run(root: &Path, suite: Suite) -> Result<()> {
    match suite {
        Suite::H2spec => h2spec::run(root),
        Suite::Identity => identity::run(root),
    }
}
