//! libFuzzer's side of the fuzz targets: what is parsed and what must hold is in the crate `fuzz`.
//!
//! Built by `make fuzz` with coverage counters on the stable compiler, without a sanitizer: the code
//! under test forbids `unsafe`, so what can go wrong is a panic, a broken promise, time or memory, and
//! libFuzzer sees each of them.

pub use libfuzzer_sys;

/// Defines the entry points of the target with that name.
///
/// Every second change of an input is one that keeps JSON whole (the seeded program's), the others are
/// libFuzzer's own.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            if let Err(broken) = fuzz::targets::once($name, input) {
                panic!("{}: {broken}", $name);
            }
        });
        $crate::libfuzzer_sys::fuzz_mutator!(
            |data: &mut [u8], size: usize, max_size: usize, seed: u32| {
                let max_size = max_size.min(fuzz::targets::longest($name));
                let size = size.min(max_size);
                if seed % 2 == 0 {
                    return $crate::libfuzzer_sys::fuzzer_mutate(data, size, max_size);
                }
                let changed = fuzz::mutate::changed(&data[..size], seed);
                let size = changed.len().min(max_size);
                data[..size].copy_from_slice(&changed[..size]);
                size
            }
        );
    };
}
