//! The JWT keys of trust domains, beside the X.509 stream. What goes wrong here costs no certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spiffe::TrustDomain;
use tonic::Code;
use tracing::{debug, warn};

use super::super::ask::AskError;
use super::super::assembly::Assembly;
use super::super::grpc;
use super::{Shared, lock, request};
use crate::bundle::TrustBundle;
use crate::dial::{Dialer, Target, chain_of};
use crate::proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use crate::proto::workload::{JwtBundlesRequest, JwtBundlesResponse};
use crate::rotation::{retry_after, retry_after_refusal};

/// Follows the JWT bundles.
pub(super) struct JwtBundles {
    pub(super) target: Target,
    pub(super) dialer: Dialer,
    pub(super) assembly: Arc<Assembly>,
    pub(super) brought: Shared,
}

impl JwtBundles {
    /// Runs for ever.
    pub(super) async fn run(self) {
        let mut failures = 0;
        loop {
            let Err(error) = self.follow(&mut failures).await else {
                failures = 0;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            failures = failures.saturating_add(1);
            debug!(error = chain_of(&error), "No JWT bundles");
            let refused = matches!(
                &error,
                AskError::Status {
                    code: Code::Unimplemented | Code::InvalidArgument | Code::PermissionDenied,
                    ..
                }
            );
            let wait = if refused {
                // Whoever says that there are none for us is believed.
                self.take(Vec::new());
                retry_after_refusal(fastrand::f64())
            } else {
                retry_after(None, SystemTime::UNIX_EPOCH, fastrand::f64(), failures)
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn follow(&self, failures: &mut u32) -> Result<(), AskError> {
        let status = |status: tonic::Status| AskError::status(&status, "");
        let channel = grpc::channel(&self.dialer, &self.target, None).await?;
        let mut client = SpiffeWorkloadApiClient::new(channel).max_decoding_message_size(super::LARGEST);
        let opened = client.fetch_jwt_bundles(request(JwtBundlesRequest {}));
        let mut stream = opened.await.map_err(status)?.into_inner();
        while let Some(message) = stream.message().await.map_err(status)? {
            *failures = 0;
            self.take(read(&message));
        }
        Ok(())
    }

    fn take(&self, keys: Vec<(TrustDomain, Vec<crate::JwtKey>)>) {
        let own = {
            let mut brought = lock(&self.brought);
            brought.jwt = keys;
            brought.bundles()
        };
        self.assembly.take(|parts| {
            // Before the first certificate there is nothing to add to.
            if parts.svid.is_some() {
                parts.own = own;
            }
        });
    }
}

/// The whole truth, but what cannot be read: that is left out.
fn read(message: &JwtBundlesResponse) -> Vec<(TrustDomain, Vec<crate::JwtKey>)> {
    let mut keys = Vec::new();
    for (name, document) in &message.bundles {
        match (TrustDomain::new(name), TrustBundle::from_document(document)) {
            (Ok(trust_domain), Ok(bundle)) => keys.push((trust_domain, bundle.jwt)),
            (Err(error), _) => warn!(name, %error, "JWT bundle of no trust domain left out"),
            (_, Err(error)) => warn!(name, error = chain_of(&error), "JWT bundle left out"),
        }
    }
    keys
}
