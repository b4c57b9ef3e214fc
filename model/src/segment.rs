//! A name as one segment of an object's path.
//!
//! Owns [`Segment`]. Every object that is called after a table or a job has such a segment in its path, and the name
//! of a data file begins with one, so that the form is decided here once.
//! - I1: a segment is of `[A-Za-z0-9._%~-]`, at most [`SEGMENT_LENGTH_MAX`] bytes, never `.` or `..`; two names never
//!   become the same one.
//! - I2: the name of a job, being plain, is its own segment unless it is too long.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

/// Room for a version, three numbers and a suffix within the 255 bytes that file systems allow.
pub const SEGMENT_LENGTH_MAX: usize = 180;

/// Hex digits of the digest that stands for the end of a name that is too long.
const DIGEST_LENGTH: usize = 32;

/// What is left of a name that is too long, before `~` and the digest.
const PREFIX_LENGTH: usize = SEGMENT_LENGTH_MAX - DIGEST_LENGTH - 1;

/// Plain letters stay, all others are percent-encoded, and a long name ends in a digest of the whole. `~` appears in
/// no encoded name, so it marks the two special cases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment(String);

impl Segment {
    pub fn of(name: &str) -> Self {
        if matches!(name, "." | "..") {
            return Segment(format!("~{name}"));
        }
        let mut encoded = String::with_capacity(name.len());
        for byte in name.bytes() {
            if is_plain(byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push('%');
                push_hex(&mut encoded, byte);
            }
        }
        if encoded.len() > SEGMENT_LENGTH_MAX {
            encoded.truncate(PREFIX_LENGTH);
            push_digest(&mut encoded, name);
        }
        Segment(encoded)
    }

    /// For a text that is full of what object stores do not take in a name, such as a regular expression: its digest.
    pub fn of_digest(text: &str) -> Self {
        let mut digest = String::with_capacity(1 + DIGEST_LENGTH);
        push_digest(&mut digest, text);
        Segment(digest)
    }

    /// The segment that a name of plain letters became, read back: `None` if it is of no such name (I2).
    pub(crate) fn of_plain_name(text: &str) -> Option<Self> {
        let plain = |text: &str| text.bytes().all(is_plain);
        let whole =
            || !text.is_empty() && text.len() <= SEGMENT_LENGTH_MAX && plain(text) && text != "." && text != "..";
        let shortened = || {
            let (prefix, digest) = text.split_once('~')?;
            let hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
            let sizes = prefix.len() == PREFIX_LENGTH && digest.len() == DIGEST_LENGTH;
            Some(sizes && plain(prefix) && digest.bytes().all(hex))
        };
        (whole() || shortened().unwrap_or(false)).then(|| Segment(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn push_digest(text: &mut String, of: &str) {
    text.push('~');
    for byte in Sha256::digest(of.as_bytes()).iter().take(DIGEST_LENGTH / 2) {
        push_hex(text, *byte);
    }
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{byte:02X}");
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn segment(name: &str) -> String {
        Segment::of(name).to_string()
    }

    #[test]
    fn i1_names_become_safe_segments() {
        let cases = [
            ("bronze.orders", "bronze.orders"),
            ("bronze.pg.public.orders", "bronze.pg.public.orders"),
            ("bronze.a b", "bronze.a%20b"),
            ("bronze.a%20b", "bronze.a%2520b"),
            ("bronze.é\"", "bronze.%C3%A9%22"),
            (".", "~."),
            ("..", "~.."),
            ("~.", "%7E."),
        ];
        for (name, expected) in cases {
            assert_eq!(segment(name), expected);
        }
    }

    /// Digests by `sha256sum`: what is stored under such a name must be found by every version.
    #[test]
    fn i1_long_names_that_begin_alike_stay_apart() {
        let (one, other) = (segment(&format!("{}1", "x".repeat(200))), segment(&format!("{}2", "x".repeat(200))));
        assert_eq!(one, format!("{}~39610FA23EC31BAD4478BBE58983A8A6", "x".repeat(147)));
        assert_eq!(other, format!("{}~F80D7D1F47AA9D6B4B04C7EF6C800BE4", "x".repeat(147)));
        assert_ne!(segment(&one), one, "a name that looks like a shortened one is encoded");
        assert_eq!(segment(&"é".repeat(200)).len(), SEGMENT_LENGTH_MAX);
    }

    proptest! {
        #[test]
        fn i1_segments_are_safe_and_tell_names_apart(names in proptest::collection::vec("[ -~é./%~]{1,40}", 2..40)) {
            let mut seen: HashMap<String, String> = HashMap::new();
            for name in names {
                let encoded = segment(&name);
                prop_assert!(encoded.len() <= SEGMENT_LENGTH_MAX && encoded != "." && encoded != "..");
                prop_assert!(encoded.chars().all(|c| c.is_ascii_alphanumeric() || "._-%~".contains(c)));
                let before = seen.insert(encoded, name.clone());
                prop_assert!(before.is_none_or(|before| before == name));
            }
        }
    }

    #[test]
    fn i2_what_no_plain_name_became_is_not_read_back() {
        let shortened = segment(&"x".repeat(200));
        let longest = "x".repeat(SEGMENT_LENGTH_MAX);
        for good in ["a", "...", longest.as_str(), shortened.as_str()] {
            assert_eq!(Segment::of_plain_name(good).unwrap().as_str(), good);
        }
        let (lower, longer) = (shortened.to_lowercase(), format!("{shortened}0"));
        let too_long = "x".repeat(SEGMENT_LENGTH_MAX + 1);
        for bad in ["", ".", "..", "~.", "a%20b", "a/b", "é", &lower, &longer, &shortened[1..], &too_long] {
            assert_eq!(Segment::of_plain_name(bad), None, "{bad}");
        }
    }
}
