#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volchunk_fuzz::call(volchunk_fuzz::npz, data));
