//! Fuzz target: [`proxy::fuzzing::xfcc`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzzing::xfcc(bytes));
