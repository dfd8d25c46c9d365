//! X26: how many paths a chain's names allow, counted before a signature is looked at.
//!
//! webpki tries path after path until its budget of a hundred signatures is spent. Seven certificates of one name allow
//! some two thousand paths, so that a peer could have us check a hundred signatures for one handshake. An honest chain
//! allows a few: one, times the roots of that name (two in a rotation), times two if the root is sent along.

use x509_parser::certificate::X509Certificate;

use super::VerifyError;

/// Paths that are tried.
const MAX_PATHS: usize = 32;

/// Checks the number of paths. `anchors` are the subjects of the bundle's roots, as DER; several may be equal.
pub(super) fn check(chain: &[X509Certificate<'_>], anchors: &[Vec<u8>]) -> Result<(), VerifyError> {
    let mut count = 0;
    walk(chain, anchors, 0, &mut vec![false; chain.len()], &mut count)
}

/// Counts the paths from one certificate on. Each certificate is used once, so the depth is that of the chain.
fn walk(
    chain: &[X509Certificate<'_>],
    anchors: &[Vec<u8>],
    from: usize,
    used: &mut [bool],
    count: &mut usize,
) -> Result<(), VerifyError> {
    let (Some(certificate), Some(mark)) = (chain.get(from), used.get_mut(from)) else { return Ok(()) };
    *mark = true;
    let issuer = certificate.issuer().as_raw();
    *count += anchors.iter().filter(|anchor| *anchor == issuer).count();
    if *count > MAX_PATHS {
        return Err(VerifyError::TooComplex);
    }
    for (next, candidate) in chain.iter().enumerate() {
        let free = used.get(next).is_some_and(|used| !used);
        if free && candidate.subject().as_raw() == issuer {
            walk(chain, anchors, next, used, count)?;
        }
    }
    if let Some(mark) = used.get_mut(from) {
        *mark = false;
    }
    Ok(())
}
