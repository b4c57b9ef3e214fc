//! The driver: libFuzzer, and the target that `TABLEFLOW_FUZZ_TARGET` names. `fuzz/run` builds and starts it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static BODY: OnceLock<fn(&[u8])> = OnceLock::new();

#[expect(clippy::panic, reason = "without a target there is nothing to do")]
fn chosen() -> fn(&[u8]) {
    let name = std::env::var("TABLEFLOW_FUZZ_TARGET").unwrap_or_default();
    tableflow_fuzz::body(&name).unwrap_or_else(|| panic!("TABLEFLOW_FUZZ_TARGET={name} is no target"))
}

fuzz_target!(|input: &[u8]| BODY.get_or_init(chosen)(input));
