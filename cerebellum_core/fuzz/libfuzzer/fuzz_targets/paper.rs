#![no_main]
fuzz_libfuzzer::target!("paper");
