//! The issuer in the same process.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use spiffe::SpiffeId;

use super::ask::{Answer, Ask, AskError};
use super::request::KeyRequest;
use crate::issue::Issue;

/// Asks the issuer in the same process. Its bundles are followed beside this.
pub(crate) struct AskBuiltIn {
    /// The issuer.
    pub(crate) issuer: Arc<dyn Issue>,
    /// For whom.
    pub(crate) id: SpiffeId,
    /// Life to ask for.
    pub(crate) ttl: Duration,
}

impl Ask for AskBuiltIn {
    fn ask<'a>(&'a mut self, request: &'a KeyRequest) -> BoxFuture<'a, Result<Answer, AskError>> {
        Box::pin(async move {
            let issued = self.issuer.issue(&self.id, &request.csr, self.ttl);
            match tokio::time::timeout(LIMIT, issued).await {
                Ok(result) => {
                    // The chain may hang on a root that was published a moment ago.
                    let bundles = self.issuer.bundles().borrow().clone();
                    Ok(Answer { chain: result?, bundles: Some(bundles) })
                }
                Err(_) => Err(AskError::Timeout(LIMIT)),
            }
        })
    }
}

/// A key holder behind the issuer may be a remote one.
const LIMIT: Duration = Duration::from_secs(10);
