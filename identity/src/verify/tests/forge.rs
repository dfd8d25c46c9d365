//! Certificates that no honest tool writes.

use rcgen::{CustomExtension, KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;

/// DER: tag, length, content.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

/// An extension of the arc 2.5.29.
pub(super) fn extension(id: u64, critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, id], content);
    extension.set_criticality(critical);
    extension
}

/// KeyUsage; `bits` from digitalSignature (0x80) downwards.
pub(super) fn key_usage(critical: bool, bits: u8) -> CustomExtension {
    extension(15, critical, vec![3, 2, bits.trailing_zeros() as u8, bits])
}

/// SubjectAltName with URIs.
pub(super) fn uris(critical: bool, uris: &[&str]) -> CustomExtension {
    let names: Vec<u8> = uris.iter().flat_map(|uri| der(0x86, uri.as_bytes())).collect();
    extension(17, critical, der(0x30, &names))
}

/// NameConstraints with one URI subtree: 0 permitted, 1 excluded.
pub(super) fn uri_constraint(which: u8, host: &str) -> CustomExtension {
    let subtree = der(0x30, &der(0x86, host.as_bytes()));
    extension(30, true, der(0x30, &der(0xa0 | which, &subtree)))
}

/// Replaces every occurrence of some bytes by as many others.
pub(super) fn replaced(certificate: &CertificateDer<'_>, from: &[u8], to: &[u8]) -> CertificateDer<'static> {
    assert_eq!(from.len(), to.len());
    let mut bytes = certificate.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the bytes are not there");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes.into()
}

/// An RSA public key of so many bits whose private key nobody has.
pub(super) struct RsaOf(Vec<u8>);

impl RsaOf {
    pub(super) fn bits(bits: usize) -> Self {
        // The leading zero keeps the number positive; an odd number with its highest bit set.
        let mut modulus = vec![0];
        modulus.extend(vec![0xc5; bits / 8]);
        let key = [der(2, &modulus), der(2, &[1, 0, 1])].concat();
        Self(der(0x30, &key))
    }
}

impl PublicKeyData for RsaOf {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// The same key a second time.
pub(super) fn copied(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialize_der()).unwrap()
}
