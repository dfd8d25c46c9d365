//! Fuzz target: [`proxy::fuzzing::canonical`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzzing::canonical(bytes));
