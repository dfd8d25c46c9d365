//! Names to addresses, cached for all cores: stale answers outlive errors up to a cap, failures are remembered briefly.

/// The process's resolver.
#[derive(Debug)]
pub struct Resolver {
    runtime: tokio::runtime::Handle,
}

impl Resolver {
    /// A resolver by the system's configuration. Look-ups run on `runtime`: the control runtime.
    pub fn system(runtime: tokio::runtime::Handle) -> Self {
        Self { runtime }
    }
}
