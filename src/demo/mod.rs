//! The shop: what `tableflow demo` fills its topics with.
//!
//! - I1: the same number of orders gives the same records, byte for byte: the shop's chance is seeded.

mod shop;

pub use shop::{Shop, Topic};
