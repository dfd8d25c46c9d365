//! A CA that somebody else writes to files: cert-manager's layout and Istio's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use super::key::{KeyError, MemoryKey};
use super::signer::{self, Signer, SignerError, fingerprint, parse};
use crate::settings::CaFiles;

/// A CA as files say it.
#[derive(Clone, Debug)]
pub(crate) struct External {
    pub(crate) signer: Arc<Signer>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// SHA-256 over all that was read: tells a change.
    pub(crate) digest: String,
}

/// Why a CA's files are not used. A CA that was read before goes on.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refuses.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Not certificates.
    #[error("{path} holds no PEM certificates that can be read")]
    Pem {
        /// Which.
        path: PathBuf,
    },
    /// Not a key.
    #[error("{path}: {source}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// Not a CA.
    #[error("{path}: {source}")]
    Signer {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SignerError,
    },
    /// The chain ends at none of the roots.
    #[error("the signing certificate {certificate} chains to none of the roots {roots}")]
    NoPath {
        /// SHA-256 of the signing certificate.
        certificate: String,
        /// SHA-256 of each root.
        roots: String,
    },
    /// The roots were replaced without overlap.
    #[error(
        "the roots in the files ({new}) have nothing in common with those in use ({old}): peers would stop \
             believing each other. Publish both roots first, or force the rotation"
    )]
    NoOverlap {
        /// SHA-256 of each root in use.
        old: String,
        /// SHA-256 of each root in the files.
        new: String,
    },
}

/// Reads a CA. Blocks.
///
/// # Errors
/// [`FilesError`] names the file and what is wrong with it.
pub(crate) fn read(files: &CaFiles) -> Result<External, FilesError> {
    let certificate = read_file(&files.certificate)?;
    let key = Zeroizing::new(read_file(&files.key)?);
    let root_text = read_file(&files.roots)?;
    let chain_text = match &files.chain {
        Some(path) if path.exists() => read_file(path)?,
        _ => String::new(),
    };
    let mut digest = Sha256::new();
    for text in [&certificate, &*key, &root_text, &chain_text] {
        digest.update(text.len().to_le_bytes());
        digest.update(text.as_bytes());
    }
    let roots = certificates(&root_text, &files.roots)?;
    let mut chain = certificates(&certificate, &files.certificate)?;
    if let Some(path) = &files.chain
        && !chain_text.is_empty()
    {
        chain.extend(certificates(&chain_text, path)?);
    }
    let above = in_order(chain, &roots)?;
    let signing = above.signing;
    let key =
        MemoryKey::from_pem(&key).map_err(|source| FilesError::Key { path: files.key.clone(), source })?;
    let signer = Signer::new(signing, above.handed_out, Arc::new(key))
        .map_err(|source| FilesError::Signer { path: files.certificate.clone(), source })?;
    Ok(External { signer: Arc::new(signer), roots, digest: signer::hex(&digest.finalize()) })
}

/// A signing certificate and what is handed out after a leaf.
pub(crate) struct Ordered {
    pub(crate) signing: CertificateDer<'static>,
    pub(crate) handed_out: Vec<CertificateDer<'static>>,
}

/// Puts a chain in order and checks that each certificate is signed by the next, and the last by a root. Files repeat
/// certificates and append the root: neither is handed out.
///
/// # Errors
/// [`FilesError::NoPath`].
pub(crate) fn in_order(
    chain: Vec<CertificateDer<'static>>,
    roots: &[CertificateDer<'static>],
) -> Result<Ordered, FilesError> {
    let no_path = |certificate: Option<&CertificateDer<'_>>| FilesError::NoPath {
        certificate: certificate.map(|der| fingerprint(der)).unwrap_or_default(),
        roots: fingerprints(roots),
    };
    let signing = chain.first().cloned().ok_or_else(|| no_path(None))?;
    let mut handed_out: Vec<CertificateDer<'static>> = Vec::new();
    let mut at = signing.clone();
    while !roots.contains(&at) {
        handed_out.push(at.clone());
        if handed_out.len() > MAX_CHAIN {
            return Err(no_path(Some(&signing)));
        }
        let parsed = parse(&at).ok_or_else(|| no_path(Some(&signing)))?;
        if roots.iter().any(|root| signs(root, &parsed)) {
            break;
        }
        let next = chain
            .iter()
            .find(|higher| !handed_out.contains(higher) && signs(higher, &parsed))
            .ok_or_else(|| no_path(Some(&signing)))?;
        at = next.clone();
    }
    Ok(Ordered { signing, handed_out })
}

fn signs(higher: &CertificateDer<'_>, lower: &X509Certificate<'_>) -> bool {
    let Some(parsed) = parse(higher) else { return false };
    parsed.subject().as_raw() == lower.issuer().as_raw()
        && lower.verify_signature(Some(parsed.public_key())).is_ok()
}

/// The fingerprints of roots, as logs name them.
pub(crate) fn fingerprints(roots: &[CertificateDer<'_>]) -> String {
    roots.iter().map(|root| fingerprint(root)).collect::<Vec<_>>().join(", ")
}

fn certificates(text: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(FilesError::Pem { path: path.to_owned() }),
    }
}

fn read_file(path: &Path) -> Result<String, FilesError> {
    fs::read_to_string(path).map_err(|source| FilesError::Io { path: path.to_owned(), source })
}

/// webpki's own bound on a path.
const MAX_CHAIN: usize = 6;
