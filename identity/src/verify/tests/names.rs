//! X01 to X08, X24, X25: the leaf's names.

use rcgen::{DistinguishedName, DnType, SanType};

use super::forge::{extension, uris};
use super::*;
use crate::id::IdError;

#[test]
fn x01_one_uri_and_any_dns_names_are_accepted() {
    let ca = ca();
    let chain = ca
        .issue_with(ID, |params| {
            for name in ["cart.shop.svc", "*.cart.shop.svc"] {
                params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
            }
            params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        })
        .chain;
    let verified = verify(&chain, &ca.bundles()).unwrap();
    assert_eq!(verified.id.as_str(), ID);
    assert_eq!(verified.forgiven, []);
}

fn add_uri(uri: &str) -> VerifyError {
    refusal(|params| params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap())))
}

#[test]
fn x02_two_spiffe_uris_are_refused() {
    assert_eq!(add_uri("spiffe://td.example/other"), VerifyError::SeveralUris(2));
    assert_eq!(add_uri(ID), VerifyError::SeveralUris(2));
}

#[test]
fn x03_a_spiffe_and_another_uri_are_refused() {
    assert_eq!(add_uri("https://td.example/"), VerifyError::SeveralUris(2));
}

#[test]
fn x04_no_uri_is_refused() {
    let none = refusal(|params| {
        params.subject_alt_names = vec![SanType::DnsName("cart.shop.svc".try_into().unwrap())];
    });
    assert_eq!(none, VerifyError::NoUri);
    assert_eq!(refusal(|params| params.subject_alt_names.clear()), VerifyError::NoUri);
}

fn named(uri: &str) -> IdError {
    match refusal(|params| params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())]) {
        VerifyError::BadId { source, .. } => source,
        error => panic!("{uri}: {error}"),
    }
}

#[test]
fn x05_a_trust_domain_is_no_workload() {
    assert_eq!(named("spiffe://td.example"), IdError::NoPath);
}

#[test]
fn x06_malformed_ids_are_refused() {
    for uri in [
        "spiffe://td.example/",
        "spiffe://td.example/a/",
        "spiffe://td.example//a",
        "spiffe://td.example/a//b",
        "spiffe://td.example/./a",
        "spiffe://td.example/a/..",
        "spiffe://td.example/a%2fb",
        "spiffe://td.example/a?q",
        "spiffe://td.example/a#f",
        "spiffe://td.example:80/a",
        "spiffe://user@td.example/a",
    ] {
        assert!(matches!(named(uri), IdError::NotSpiffe(_)), "{uri}");
    }
}

/// The `spiffe` crate lowers them and accepts, go-spiffe refuses upper-case trust domains. We refuse: two spellings of
/// one ID must not pass policies that compare bytes.
#[test]
fn x07_upper_case_scheme_or_trust_domain_is_refused() {
    assert_eq!(named("spiffe://TD.example/ns/shop/sa/cart"), IdError::NotCanonical);
    assert_eq!(named("SPIFFE://td.example/ns/shop/sa/cart"), IdError::NotCanonical);
}

#[test]
fn x08_oversized_empty_or_foreign_ids_are_refused() {
    let domain = format!("spiffe://{}/a", "d".repeat(256));
    for uri in [domain.as_str(), "spiffe:///a", "spiffe://[::1]/a", "https://td.example/a", "a"] {
        assert!(matches!(named(uri), IdError::NotSpiffe(_) | IdError::NotDns), "{uri}");
    }
    let long = format!("spiffe://td.example/{}", "a".repeat(2049 - "spiffe://td.example/".len()));
    assert_eq!(named(&long), IdError::TooLong(2049));
}

#[test]
fn x24_malformed_certificates_are_refused() {
    let malformed = |error: VerifyError| assert!(matches!(error, VerifyError::Malformed { .. }), "{error}");
    // A second SubjectAltName; rcgen writes the first.
    malformed(refusal(|params| params.custom_extensions.push(uris(false, &[ID]))));
    // A second BasicConstraints: an empty sequence.
    malformed(refusal(|params| params.custom_extensions.push(extension(19, true, vec![0x30, 0]))));
    // A critical extension that nobody knows.
    let unknown = refusal(|params| params.custom_extensions.push(extension(99, true, vec![5, 0])));
    assert_eq!(unknown, VerifyError::UnknownCriticalExtension);
    // Bytes after the certificate.
    let ca = ca();
    let mut chain = ca.issue_with(ID, |_| {}).chain;
    let longer: Vec<u8> = chain[0].iter().copied().chain([0]).collect();
    chain[0] = longer.into();
    malformed(verify(&chain, &ca.bundles()).unwrap_err());
    // Not a certificate at all.
    malformed(verify(&[vec![0x30, 3, 2, 1, 1].into()], &ca.bundles()).unwrap_err());
    // A URI that is no IA5String.
    malformed(refusal(|params| {
        params.subject_alt_names.clear();
        let names = super::forge::der(0x86, b"spiffe://td.example/\xff");
        params.custom_extensions.push(extension(17, true, super::forge::der(0x30, &names)));
    }));
}

#[test]
fn x25_an_empty_subject_with_names_not_critical_is_forgiven_and_counted() {
    let forgiven = leaf(|params| {
        params.subject_alt_names.clear();
        params.custom_extensions.push(uris(false, &[ID]));
    });
    assert_eq!(forgiven.unwrap(), [Forgiven::NamesNotCritical]);
    // With a subject, they need not be critical.
    let named = leaf(|params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "cart");
    });
    assert_eq!(named.unwrap(), []);
}
