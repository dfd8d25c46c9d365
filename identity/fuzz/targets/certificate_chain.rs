//! Fuzz target: [`identity::fuzzing::certificate_chain`].
#![no_main]

/// The bundle that the good seeds verify by.
const BUNDLE: &[u8] = include_bytes!("../seeds/bundle_document/td.example.json");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| identity::fuzzing::certificate_chain(BUNDLE, bytes));
