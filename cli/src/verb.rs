//! One file per verb.

pub(crate) mod check;
pub(crate) mod echo;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod identity;
pub(crate) mod issuer;
pub(crate) mod probe;
pub(crate) mod serve;

use crate::exit::Failure;

/// A runtime for a verb that talks over the network.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Settings(format!("the runtime cannot start: {error}")))
}
