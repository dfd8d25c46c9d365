//! Files that somebody else renews: certificate, key, roots and maybe revocation lists, taken together or not at all.

use std::sync::Arc;
use std::time::Duration;

use model::PeerProfile;
use sha2::{Digest, Sha256};
use spiffe::TrustDomain;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::assembly::Assembly;
use super::revoked::{self, RevokedError};
use super::watched::{self, FileWatch, ReadError};
use crate::bundle::{BundleError, TrustBundle, TrustBundles};
use crate::dial::chain_of;
use crate::svid::{SvidError, X509Svid};

/// Paths of the files.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) certificate: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) roots: Arc<str>,
    pub(crate) crl: Option<Arc<str>>,
}

/// Follows files.
pub(crate) struct Files {
    pub(crate) paths: Paths,
    pub(crate) profile: PeerProfile,
    /// Whose the roots are if the certificate does not say (a DNS-like name).
    pub(crate) trust_domain: TrustDomain,
    pub(crate) assembly: Arc<Assembly>,
}

/// Why a set is not taken. The one before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    /// A file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Certificate and key; half-written sets end here.
    #[error(transparent)]
    Svid(#[from] SvidError),
    /// Roots.
    #[error(transparent)]
    Roots(#[from] BundleError),
    /// Revocation lists.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// The Secret is not there.
    #[error("the Secret {0} is not there")]
    NoSecret(Arc<str>),
}

/// The texts of a set.
pub(crate) struct Texts {
    pub(crate) certificate: String,
    pub(crate) key: Zeroizing<String>,
    pub(crate) roots: String,
    pub(crate) crl: String,
}

impl Texts {
    /// So that a set can be known again without keeping its key.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for text in [&self.certificate, &*self.key, &self.roots, &self.crl] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }

    /// Publishes the set. None of it is taken unless all of it can be: the files of one renewal belong together. A
    /// refusal by the publisher is on record already and comes back as `None`.
    pub(crate) fn publish(
        &self,
        assembly: &Assembly,
        profile: PeerProfile,
        trust_domain: &TrustDomain,
    ) -> Result<Option<()>, SetError> {
        let svid = X509Svid::from_pem(&self.certificate, &self.key, profile)?;
        let roots = TrustBundle::from_pem(&self.roots)?;
        let crls = revoked::parse(&self.crl)?;
        let own = svid.id().trust_domain().unwrap_or(trust_domain).clone();
        let change = assembly.change(|parts| {
            parts.svid = Some(svid);
            parts.own = TrustBundles::of(own, roots);
            parts.crls = crls;
        });
        Ok(change.ok())
    }
}

impl Files {
    /// Runs for ever.
    pub(crate) async fn run(self) {
        let paths = &self.paths;
        let required = [&*paths.certificate, &*paths.key, &*paths.roots];
        let watch = FileWatch::new(required.into_iter().chain(paths.crl.as_deref()));
        let mut last_error = None;
        // What was tried last, when, and whether it was taken.
        let mut tried: Option<([u8; 32], Instant, bool)> = None;
        loop {
            match self.settled().await {
                Ok(texts) => {
                    let digest = texts.digest();
                    let again = tried.is_some_and(|(before, at, taken)| {
                        before == digest && (taken || at.elapsed() < AGAIN)
                    });
                    if !again {
                        let result = texts.publish(&self.assembly, self.profile, &self.trust_domain);
                        tried = Some((digest, Instant::now(), matches!(result, Ok(Some(())))));
                        self.tell(result.err(), &mut last_error);
                    }
                }
                Err(error) => {
                    tried = None;
                    self.tell(Some(error.into()), &mut last_error);
                }
            }
            watch.changed().await;
        }
    }

    /// Reads until two readings agree: files that are swapped in between would make a set of two renewals.
    async fn settled(&self) -> Result<Texts, ReadError> {
        let mut texts = self.read().await?;
        for _ in 0..READINGS {
            let again = self.read().await?;
            if again.digest() == texts.digest() {
                break;
            }
            texts = again;
        }
        Ok(texts)
    }

    async fn read(&self) -> Result<Texts, ReadError> {
        let paths = &self.paths;
        Ok(Texts {
            certificate: watched::read(&paths.certificate).await?,
            key: watched::read(&paths.key).await?.into(),
            roots: watched::read(&paths.roots).await?,
            crl: match &paths.crl {
                Some(path) => watched::read_optional(path).await?,
                None => String::new(),
            },
        })
    }

    /// Once for each error, not at every look.
    fn tell(&self, error: Option<SetError>, last_error: &mut Option<String>) {
        let text = error.as_ref().map(|error| chain_of(error));
        if let Some(error) = error
            && *last_error != text
        {
            self.assembly.publisher().failed(&error);
        }
        *last_error = text;
    }
}

/// Files that never come to rest are judged as they are.
const READINGS: usize = 5;
/// A set that was refused may become valid by the clock.
const AGAIN: Duration = Duration::from_secs(60);
