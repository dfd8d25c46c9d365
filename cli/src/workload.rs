//! This process as a workload: its own identity, from a SPIFFE Workload API.

use std::time::Duration;

use identity::{Identity, Running, SourceContext};
use model::{GatewayIdentity, IdentitySource, PeerProfile};

/// Asks a Workload API (`unix:///PATH` or `tcp://IP:PORT`) and waits for the answer. The identity is kept fresh while the
/// second value lives.
///
/// # Errors
/// Why there is none after five seconds.
pub(crate) async fn identity(socket: &str) -> Result<(Identity, Running), String> {
    let spec = GatewayIdentity {
        // The SVID says it.
        trust_domain: "".into(),
        spiffe_id: None,
        profile: PeerProfile::SpiffeStrict,
        source: IdentitySource::WorkloadApi { socket: socket.into() },
    };
    let (identity, running) = identity::start(&"workload-api".into(), &spec, SourceContext::default());
    let mut changed = identity.changed();
    let ready = changed.wait_for(|_| identity.material().is_some());
    if tokio::time::timeout(PATIENCE, ready).await.is_err() {
        let status = identity.status();
        let why = status.last_error.or(status.not_ready).unwrap_or_else(|| "no answer".to_owned());
        return Err(format!("{socket}: {why}"));
    }
    Ok((identity, running))
}

const PATIENCE: Duration = Duration::from_secs(5);
