//! Fuzz target: [`identity::fuzzing::jwt_svid`].
#![no_main]

/// The bundle that the good seeds verify by.
const BUNDLE: &[u8] = include_bytes!("../seeds/bundle_document/td.example.json");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| identity::fuzzing::jwt_svid(BUNDLE, bytes));
