//! Certificate revocation lists. Unknown status is allowed, a listed serial is refused.
//!
//! webpki's own check takes the first list of an issuer's *name* and fails if another key signed it, which refuses
//! good peers while two roots of one name overlap (Istio's all share a name). Here a list counts for exactly the
//! issuer whose key signed it. webpki still parses each list, so that delta, indirect and partitioned ones are refused
//! when they arrive. A list whose next update is overdue goes on counting: to drop it would let the revoked in.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use super::VerifyError;

/// Why a list cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("revocation list {position} cannot be used: {detail}")]
pub struct CrlError {
    /// Its place, from 1.
    pub position: usize,
    /// The parser's words.
    pub detail: String,
}

/// One list, ready for looking up.
#[derive(Debug)]
pub(crate) struct Revocations {
    der: CertificateRevocationListDer<'static>,
    issuer: Vec<u8>,
    serials: BTreeSet<Vec<u8>>,
    /// Keys (SubjectPublicKeyInfo, DER) that are known to have signed it, so that a handshake need not check.
    signers: Vec<Vec<u8>>,
}

impl Revocations {
    /// Reads lists; any that is broken fails them all, so that nothing is let in by an unreadable list.
    ///
    /// # Errors
    /// [`CrlError`] says which and why.
    pub(crate) fn read(lists: &[CertificateRevocationListDer<'static>]) -> Result<Vec<Self>, CrlError> {
        lists
            .iter()
            .enumerate()
            .map(|(index, der)| {
                let broken = |detail: String| CrlError { position: index + 1, detail };
                webpki::BorrowedCertRevocationList::from_der(der)
                    .map_err(|error| broken(format!("{error:?}")))?;
                let (_, list) =
                    CertificateRevocationList::from_der(der).map_err(|error| broken(error.to_string()))?;
                let serials =
                    list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
                let issuer = list.issuer().as_raw().to_vec();
                Ok(Self { der: der.clone(), issuer, serials, signers: Vec::new() })
            })
            .collect()
    }

    /// Tries issuers beforehand: those of the bundles and of our own chain.
    pub(crate) fn prepare(&mut self, issuer: &[u8], spki: &[u8]) {
        if self.issuer == issuer && !self.signers.iter().any(|known| known == spki) && self.is_signed_by(spki)
        {
            self.signers.push(spki.to_vec());
        }
    }

    fn is_signed_by(&self, spki: &[u8]) -> bool {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        SubjectPublicKeyInfo::from_der(spki).is_ok_and(|(_, key)| list.verify_signature(&key).is_ok())
    }

    /// Whether the list names the certificate, of that issuer (name as DER) with that key.
    fn lists(&self, serial: &[u8], issuer: &[u8], spki: &[u8]) -> bool {
        self.issuer == issuer
            && self.serials.contains(serial)
            && (self.signers.iter().any(|known| known == spki) || self.is_signed_by(spki))
    }
}

/// Refuses a certificate that one of the lists names.
pub(super) fn check(
    lists: &[Revocations],
    certificate: &webpki::Cert<'_>,
    issuer_spki: &[u8],
) -> Result<(), VerifyError> {
    let issuer = in_sequence(certificate.issuer());
    if lists.iter().any(|list| list.lists(certificate.serial(), &issuer, issuer_spki)) {
        let serial =
            certificate.serial().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        let issuer = X509Name::from_der(&issuer)
            .map_or_else(|_| "its issuer".to_owned(), |(_, name)| name.to_string());
        return Err(VerifyError::Revoked { serial, issuer });
    }
    Ok(())
}

/// webpki gives a name without its outer SEQUENCE; everybody else has it.
pub(super) fn in_sequence(content: &[u8]) -> Vec<u8> {
    let mut der = vec![0x30];
    match content.len() {
        length @ 0..=0x7f => der.extend(u8::try_from(length)),
        length => {
            let bytes = length.to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            der.extend(u8::try_from(bytes.len()).map(|count| 0x80 | count));
            der.extend(bytes);
        }
    }
    der.extend_from_slice(content);
    der
}
