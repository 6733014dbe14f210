#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackstay_fuzz::curve_handshake(data));
