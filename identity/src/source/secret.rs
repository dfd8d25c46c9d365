//! A Secret that somebody else renews; it comes with the configuration.

use std::sync::Arc;

use model::{KeyPair, PeerProfile, SecretName, TrustAnchors};
use spiffe::TrustDomain;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::assembly::Assembly;
use super::files::{SetError, Texts};
use super::{KeyPairs, SourceContext};

/// Follows a Secret.
pub(crate) struct FromSecret {
    pub(crate) key_pair: SecretName,
    pub(crate) roots: TrustAnchors,
    pub(crate) crl: Option<Arc<str>>,
    pub(crate) profile: PeerProfile,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) assembly: Arc<Assembly>,
}

impl FromSecret {
    /// Runs until nobody can change the configuration any more.
    pub(crate) async fn run(self, mut context: watch::Receiver<SourceContext>) {
        let mut before = None;
        loop {
            let found = self.find(&context.borrow_and_update().key_pairs);
            if before.as_ref() != Some(&found) {
                if let Err(error) = self.take(found.as_deref()) {
                    self.assembly.publisher().failed(&error);
                }
                before = Some(found);
            }
            if context.changed().await.is_err() {
                // The material stays; it is dropped with the identity.
                return;
            }
        }
    }

    fn find(&self, key_pairs: &KeyPairs) -> Option<Arc<KeyPair>> {
        key_pairs.get(&self.key_pair).cloned()
    }

    fn take(&self, found: Option<&KeyPair>) -> Result<(), SetError> {
        let pair = found.ok_or_else(|| SetError::NoSecret(self.key_pair.as_str().into()))?;
        let texts = Texts {
            certificate: pair.certificate_chain.to_string(),
            key: Zeroizing::new(pair.private_key.expose().to_string()),
            roots: self.roots.0.to_string(),
            crl: self.crl.as_deref().unwrap_or_default().to_owned(),
        };
        texts.publish(&self.assembly, self.profile, &self.trust_domain).map(|_| ())
    }
}
