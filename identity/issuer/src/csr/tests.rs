//! Requests, broken in every byte.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;

fn request() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

#[test]
fn bits_are_counted_from_the_first_that_is_set() {
    assert_eq!(bits(&[]), 0);
    assert_eq!(bits(&[0, 0]), 0);
    assert_eq!(bits(&[0, 1]), 1);
    assert_eq!(bits(&[0, 0x80, 0]), 16);
    assert_eq!(bits(&[0x7f, 0xff]), 15);
}

#[test]
fn a_changed_byte_is_noticed_or_changes_nothing() {
    let good = request();
    let public = parse(&good).unwrap().public;
    let (_, parsed) = X509CertificationRequest::from_der(&good).unwrap();
    let signed = parsed.certification_request_info.raw;
    // The outer header stands before what is signed; it has two to four bytes.
    let ends = good.windows(signed.len()).position(|part| part == signed).unwrap() + signed.len();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        if let Ok(csr) = parse(&bad) {
            // Around the signature there are bits that nobody looks at; in what is signed there are none.
            assert!(place >= ends, "byte {place}");
            assert_eq!(csr.public, public, "byte {place}");
        }
    }
}

#[test]
fn bytes_after_a_request_are_refused() {
    let mut bytes = request();
    bytes.push(0);
    assert_eq!(parse(&bytes).unwrap_err(), CsrError::Malformed("bytes are left after it"));
    assert_eq!(parse(&vec![0x30; MAX_DER + 1]).unwrap_err(), CsrError::TooLarge(MAX_DER + 1));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_cut_panics(at in 0_usize..200, byte in any::<u8>()) {
        let mut bytes = request();
        bytes.truncate(at);
        bytes.push(byte);
        prop_assert!(parse(&bytes).is_err());
    }
}
