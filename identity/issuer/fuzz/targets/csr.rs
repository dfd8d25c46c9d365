//! Fuzz target: [`issuer::csr::parse`] and [`issuer::csr::parse_pem`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = issuer::csr::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = issuer::csr::parse_pem(text);
    }
});
