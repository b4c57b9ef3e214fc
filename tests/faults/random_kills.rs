//! kill -9 of the service at random moments, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::product::Product;

const ROUNDS: u64 = 20;
const SEED: u64 = 20_261_121;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// A step of a linear congruential generator; the high bits are good enough to pick moments.
pub fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[test]
fn a_service_killed_at_random_moments_loses_and_doubles_nothing() {
    let rounds = number("TABLEFLOW_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("TABLEFLOW_KILL_SEED").unwrap_or(SEED);
    let product = Product::with_table();
    let stop = Arc::new(AtomicBool::new(false));
    let load = std::thread::spawn({
        let (product, stop) = (product.share(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                product.produce(20).good("produce");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let mut state = seed;
    for _ in 0..rounds {
        let up = product.up();
        std::thread::sleep(Duration::from_millis(draw(&mut state, 400)));
        up.kill();
    }
    stop.store(true, Ordering::Relaxed);
    load.join().unwrap();
    let replay = format!("TABLEFLOW_KILL_SEED={seed} TABLEFLOW_KILL_ROUNDS={rounds}");
    assert!(product.status()["snapshot_id"].is_i64(), "{replay}: no round lived long enough to commit");
    product.sync_and_check(&replay);
}
