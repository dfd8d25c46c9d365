//! The issuer's own SVID, which its listeners show: issued like any other, and renewed by itself.

use std::sync::Arc;
use std::time::Duration;

use identity::SpiffeId;
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
    /// Issues one now.
    ///
    /// # Errors
    /// In words: nothing can sign, say.
    pub(crate) async fn renew(&self) -> Result<Duration, String> {
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
        Ok(issued.not_after.duration_since(self.mint.clock.now()).unwrap_or_default())
    }

    /// Renews at half of its life, and when the roots change.
    pub(crate) async fn run(
        self,
        mut life: Duration,
        mut bundle: watch::Receiver<Arc<identity::TrustBundle>>,
    ) {
        loop {
            let at = self.mint.clock.now() + life / 2;
            tokio::select! {
                () = self.mint.clock.sleep_until(at) => {}
                changed = bundle.changed() => if changed.is_err() { return },
            }
            life = match self.renew().await {
                Ok(life) => {
                    info!(id = %self.id, "The issuer's own SVID was renewed");
                    life
                }
                Err(failure) => {
                    error!(error = %failure, "The issuer's own SVID was not renewed");
                    AGAIN * 2
                }
            };
        }
    }
}

/// After a renewal that failed.
const AGAIN: Duration = Duration::from_secs(5);
