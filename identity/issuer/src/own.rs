//! The issuer's own SVID, which its listeners show: issued like any other, and renewed by itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::{SpiffeId, TrustBundle};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;
use tracing::{error, info};

use crate::audit::{Method, Who};
use crate::mint::{Mint, Order};
use crate::tls::{Serving, provider};

/// Renews the issuer's own SVID.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) mint: Arc<Mint>,
    pub(crate) id: SpiffeId,
    pub(crate) dns_names: Vec<String>,
    pub(crate) serving: Arc<Serving>,
}

impl Own {
    /// Issues one now, and says when the next is due: at half of its life.
    ///
    /// # Errors
    /// In words: nothing can sign, say.
    pub(crate) async fn renew(&self) -> Result<SystemTime, String> {
        let who =
            Who { method: Method::InProcess, caller: "the issuer itself".to_owned(), peer: String::new() };
        let order = Order {
            id: &self.id,
            dns_names: &self.dns_names,
            ttl: None,
            max_ttl: None,
            roots_go_along: false,
        };
        let (issued, key) =
            self.mint.issue_with_key(&who, order).await.map_err(|refusal| refusal.to_string())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let key = provider().key_provider.load_private_key(key).map_err(|error| error.to_string())?;
        self.serving.set(CertifiedKey::new(issued.chain, key));
        let now = self.mint.clock.now();
        Ok(now + issued.not_after.duration_since(now).unwrap_or_default() / 2)
    }

    /// Renews when it is due, and when the roots change.
    pub(crate) async fn run(self, mut due: SystemTime, mut bundle: watch::Receiver<Arc<TrustBundle>>) {
        loop {
            tokio::select! {
                () = self.mint.clock.sleep_until(due) => {}
                changed = bundle.changed() => if changed.is_err() { return },
            }
            due = match self.renew().await {
                Ok(due) => {
                    info!(id = %self.id, "The issuer's own SVID was renewed");
                    due
                }
                Err(failure) => {
                    error!(error = %failure, "The issuer's own SVID was not renewed");
                    self.mint.clock.now() + AGAIN
                }
            };
        }
    }
}

/// After a renewal that failed.
const AGAIN: Duration = Duration::from_secs(5);
