//! Fuzz target: [`identity::fuzzing::bundle_document`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| identity::fuzzing::bundle_document(bytes));
