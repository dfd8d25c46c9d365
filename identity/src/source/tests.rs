//! Every source against fakes of its other side, in memory, under paused time.

pub(crate) mod net;

mod built_in;
mod federated;
mod files;
mod istio_answers;
mod istio_ca;
mod istio_faults;
mod jwt_svid;
mod linkerd;
mod start;
mod workload_api;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::material::{Identity, IdentityStatus, Material};

/// Half of 2027: what the test CA's roots and the fakes' server certificates are valid at.
pub(crate) fn start_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_813_000_000)
}

/// Goes with tokio's paused clock.
pub(crate) fn clock() -> Clock {
    Clock::tokio(start_time())
}

/// Waits, in paused time, until the status is as wanted.
async fn until(identity: &Identity, wanted: impl Fn(&IdentityStatus) -> bool) -> IdentityStatus {
    for _ in 0..100_000 {
        let status = identity.status();
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("it never came to be: {:#?}", identity.status());
}

/// Waits for a generation.
async fn generation(identity: &Identity, wanted: u64) -> Arc<Material> {
    until(identity, |status| status.generation >= wanted).await;
    let material = identity.material().expect("a generation was published");
    assert_eq!(material.generation, wanted);
    material
}

/// Waits for a failure that says this.
async fn failure(identity: &Identity, part: &str) -> IdentityStatus {
    until(identity, |status| status.last_error.as_ref().is_some_and(|error| error.contains(part))).await
}
