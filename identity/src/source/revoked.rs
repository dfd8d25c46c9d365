//! The mesh's revocation list in a file (Istio's `ca-crl.pem`), followed.

use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use tracing::info;

use super::assembly::Assembly;
use super::watched::{self, FileWatch, ReadError};
use crate::dial::chain_of;
use crate::pem::{self, PemError};
use crate::verify::{CrlError, Revocations};

/// Why a list is not taken. The one before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokedError {
    /// The file.
    #[error("the revocation list cannot be read")]
    Read(#[from] ReadError),
    /// Text that is no PEM.
    #[error("the revocation list cannot be used")]
    Pem(#[from] PemError),
    /// Text without a list.
    #[error("there is no PEM block X509 CRL in the revocation list's text")]
    None,
    /// A list that is none.
    #[error(transparent)]
    Crl(#[from] CrlError),
}

/// Reads lists. An empty text is an empty list, as Istio has it; any other must hold one.
pub(crate) fn parse(text: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, RevokedError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let lists = pem::revocation_lists(text)?;
    if lists.is_empty() {
        return Err(RevokedError::None);
    }
    check(&lists)?;
    Ok(lists)
}

/// Refuses lists that could not be published.
pub(crate) fn check(lists: &[CertificateRevocationListDer<'static>]) -> Result<(), CrlError> {
    Revocations::read(lists).map(|_| ())
}

/// Follows a file; one that is not there is an empty list.
#[derive(Debug)]
pub(crate) struct RevokedFile {
    path: Arc<str>,
    watch: FileWatch,
    assembly: Arc<Assembly>,
}

impl RevokedFile {
    /// Reads it for the first time. Comes back only when it could be read: to begin with no list where there should be
    /// one would let the revoked in, and nobody would know. Whoever is cut off by that reads why.
    pub(crate) async fn open(path: Arc<str>, assembly: Arc<Assembly>) -> Self {
        let file = Self { watch: FileWatch::new([&*path]), path, assembly };
        let mut last_error = None;
        while let Err(error) = file.look().await {
            file.tell(&error, &mut last_error);
            file.watch.changed().await;
        }
        file
    }

    /// Follows it for ever.
    pub(crate) async fn follow(self) {
        let mut last_error = None;
        loop {
            self.watch.changed().await;
            match self.look().await {
                Ok(()) => {
                    if last_error.take().is_some() {
                        // Published again as it is, so that the error is not on record any longer.
                        let _ = self.assembly.change(|_| {});
                    }
                }
                Err(error) => self.tell(&error, &mut last_error),
            }
        }
    }

    async fn look(&self) -> Result<(), RevokedError> {
        let lists = parse(&watched::read_optional(&self.path).await?)?;
        self.assembly.take(|parts| {
            if parts.crls != lists {
                info!(path = %self.path, lists = lists.len(), "Revocation lists changed");
                parts.crls = lists;
            }
        });
        Ok(())
    }

    /// Once for each error, not at every look.
    fn tell(&self, error: &RevokedError, last_error: &mut Option<String>) {
        let text = chain_of(error);
        if last_error.as_ref() != Some(&text) {
            self.assembly.publisher().failed(error);
            *last_error = Some(text);
        }
    }
}
