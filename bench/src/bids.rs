//! The rows of the benchmark: bids in the manner of Nexmark, about 224 bytes of JSON each.
//!
//! Owns [`Bids`]. Four whole numbers, one of them a rising time; a string of few values; two strings with random
//! parts, which do not compress as text of people would.
//! - I1: the same numbers of rows are the same bytes, on every machine.
//! - I2: times rise by one millisecond a row, so a range of times is a known number of rows.

use std::io::Write;

use tableflow_model::{Error, Result};

/// The time of the first row: 2026-01-01.
pub const FIRST_TIME_MS: i64 = 1_767_225_600_000;

const SEED: u64 = 20_260_101;
const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const URL_WORD_LENGTH: usize = 8;
const EXTRA_LENGTH: usize = 53;

/// What a check needs of a row.
#[derive(Clone, Copy, Debug)]
pub struct Bid {
    pub price: i64,
    pub time_ms: i64,
}

/// The rows in their order.
#[derive(Debug)]
pub struct Bids {
    random: fastrand::Rng,
    next_time_ms: i64,
}

impl Bids {
    pub fn new() -> Self {
        Bids { random: fastrand::Rng::with_seed(SEED), next_time_ms: FIRST_TIME_MS }
    }

    /// Replaces `json` by the next row.
    pub fn next(&mut self, json: &mut Vec<u8>) -> Result<Bid> {
        json.clear();
        let bid = Bid { price: self.random.i64(1..100_000_000), time_ms: self.next_time_ms };
        self.next_time_ms += 1;
        let channel = CHANNELS.get(self.random.usize(..CHANNELS.len())).copied().unwrap_or_default();
        let (auction, bidder) = (self.random.u32(1000..100_000), self.random.u32(1000..100_000));
        let mut write = || -> std::io::Result<()> {
            write!(json, r#"{{"auction":{auction},"bidder":{bidder},"price":{},"channel":"{channel}","#, bid.price)?;
            write!(json, r#""url":"https://www.nexmark.com/"#)?;
            self.letters(json, URL_WORD_LENGTH);
            json.push(b'/');
            self.letters(json, URL_WORD_LENGTH);
            write!(json, r#"/item.htm?query=1","dateTime":{},"extra":""#, bid.time_ms)?;
            self.letters(json, EXTRA_LENGTH);
            json.extend_from_slice(br#""}"#);
            Ok(())
        };
        write().map_err(|error| Error::internal("a row cannot be written").with_source(error))?;
        Ok(bid)
    }

    fn letters(&mut self, text: &mut Vec<u8>, length: usize) {
        text.extend((0..length).map(|_| self.random.u8(b'a'..=b'z')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_i2_rows_repeat_are_json_and_have_the_size_and_times_they_should() {
        let (mut first, mut again) = (Bids::new(), Bids::new());
        let (mut row, mut same) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for number in 0..1000 {
            let bid = first.next(&mut row).unwrap();
            again.next(&mut same).unwrap();
            assert_eq!(row, same);
            let value: serde_json::Value = serde_json::from_slice(&row).unwrap();
            assert_eq!(value["price"], bid.price);
            assert_eq!(value["dateTime"], FIRST_TIME_MS + number);
            bytes += row.len();
        }
        assert!((220_000..228_000).contains(&bytes), "{bytes}");
    }
}
