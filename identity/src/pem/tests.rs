//! Key forms that load, and what is said of those that do not.

use model::Secret;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};

use super::*;

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["a.example".to_owned(), "*.b.example".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap()));
    params
}

/// A self-signed certificate and its key, both as PEM.
fn pair(key: &KeyPair) -> (String, String) {
    (params().self_signed(key).unwrap().pem(), key.serialize_pem())
}

/// The key structure inside PKCS#8: what PKCS#1 and SEC1 files hold.
fn inner(key: &KeyPair) -> Vec<u8> {
    let der = key.serialize_der();
    let (_, info) = x509_parser::der_parser::parse_der(&der).unwrap();
    info.as_sequence().unwrap()[2].as_slice().unwrap().to_vec()
}

fn block(label: &str, der: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64(der).as_bytes().chunks(64) {
        writeln!(text, "{}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    text + &format!("-----END {label}-----\n")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[test]
fn a_sound_pair_tells_its_facts() {
    let key = KeyPair::generate().unwrap();
    let (chain, private) = pair(&key);
    let facts = validate_key_pair(&chain, &private).unwrap();
    assert_eq!(facts.dns_names, ["a.example", "*.b.example"]);
    assert_eq!(facts.uris, ["spiffe://td/ns/a/sa/b"]);
    assert!(facts.not_after > facts.not_before);
}

#[test]
fn every_usual_key_form_loads() {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (chain, pkcs8) = pair(&rsa);
    assert!(validate_key_pair(&chain, &pkcs8).is_ok(), "PKCS#8");
    let pkcs1 = block("RSA PRIVATE KEY", &inner(&rsa));
    assert!(validate_key_pair(&chain, &pkcs1).is_ok(), "PKCS#1");

    let ec = KeyPair::generate().unwrap();
    let (chain, _) = pair(&ec);
    let sec1 = block("EC PRIVATE KEY", &inner(&ec));
    assert!(validate_key_pair(&chain, &sec1).is_ok(), "SEC1");
    // openssl writes the curve first.
    let with_parameters = format!("{}{sec1}", block("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]));
    assert!(validate_key_pair(&chain, &with_parameters).is_ok(), "EC PARAMETERS in front");
}

#[test]
fn what_is_wrong_is_named() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (chain, private) = pair(&key);
    let error = |chain: &str, private: &str| validate_key_pair(chain, private).unwrap_err();
    assert_eq!(error(&chain, &other.serialize_pem()), PemError::KeyMismatch);
    assert_eq!(error("", &private), PemError::NoCertificate);
    assert_eq!(error(&private, &private), PemError::NoCertificate);
    assert_eq!(error(&chain, ""), PemError::NoKey);
    assert_eq!(error(&chain, &chain), PemError::NoKey);
    assert_eq!(error(&chain, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), PemError::EncryptedKey);
    let broken = block("CERTIFICATE", b"\x30\x03abc");
    assert!(matches!(error(&broken, &private), PemError::BadCertificate { position: 1, .. }));
    let second = format!("{chain}{broken}");
    assert!(matches!(error(&second, &private), PemError::BadCertificate { position: 2, .. }));
    let cut = chain.replace("-----END CERTIFICATE-----", "");
    assert!(matches!(error(&cut, &private), PemError::NotPem { what: "certificate", .. }));
    let nonsense = block("PRIVATE KEY", b"\x30\x03abc");
    assert!(matches!(error(&chain, &nonsense), PemError::BadKey { .. }));
}

#[test]
fn roots_are_counted_and_checked() {
    let (chain, private) = pair(&KeyPair::generate().unwrap());
    assert_eq!(validate_roots(&format!("{chain}{chain}")), Ok(2));
    assert_eq!(validate_roots(&private), Err(PemError::NoCertificate));
    assert_eq!(validate_roots("no PEM at all"), Err(PemError::NoCertificate));
}

#[test]
fn errors_never_show_the_key() {
    let key = KeyPair::generate().unwrap();
    let (chain, _) = pair(&KeyPair::generate().unwrap());
    let private = key.serialize_pem();
    let pair = model::KeyPair {
        certificate_chain: chain.as_str().into(),
        private_key: Secret::new(private.as_str().into()),
    };
    let error = certified_key(&pair).unwrap_err();
    let middle = private.lines().nth(1).unwrap();
    assert!(!format!("{error} {error:?}").contains(middle));
}
