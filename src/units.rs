//! Lengths of time and sizes, as people write them.
//!
//! Owns [`Interval`] ("10s", "500ms", "5m"), [`CommitInterval`] and [`ByteSize`] ("64MiB"): newtypes that
//! flags and configuration share. The texts are read by the crates humantime and parse-size; bytesize was
//! looked at and computes in floating point, so that too large a size is silently cut.
//! - I1: an [`Interval`] is a whole number of milliseconds, 1 ms to 365 days.
//! - I2: a [`CommitInterval`] is 10 ms to one day.
//! - I5: an [`Every`] is an [`Interval`], or never.
//! - I4: a [`DataRetention`] is at least a millisecond, or for ever, which is -1 as in Kafka.
//! - I6: a [`FileSize`] is at least 64 KiB: a number without a unit is seldom meant as bytes.
//! - I3: a [`ByteSize`] is 1 byte to 8 EiB - 1, so that it fits a signed 64-bit number too.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};

const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Below it a commit takes longer than the interval, even on a local disk.
const COMMIT_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Above it rows would wait in memory for more than a day; a scheduled `sync` serves better.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A length of time (I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval(Duration);

impl Interval {
    pub fn duration(self) -> Duration {
        self.0
    }

    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let duration = humantime::parse_duration(text.trim())
            .map_err(|_| Error::usage(format!("{text:?} is not a length of time such as 500ms, 10s or 5m")))?;
        if duration.is_zero() || duration > INTERVAL_MAX || duration.subsec_nanos() % 1_000_000 != 0 {
            return Err(Error::usage(format!("{text:?} is not a whole number of milliseconds from 1ms to 365days")));
        }
        Ok(Interval(duration))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// How often something is done without being asked; none is never (I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Every(pub Option<Interval>);

const NEVER: &str = "never";

impl FromStr for Every {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().eq_ignore_ascii_case(NEVER) {
            true => Ok(Every(None)),
            false => Ok(Every(Some(text.parse()?))),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(interval) => interval.fmt(f),
            None => f.write_str(NEVER),
        }
    }
}

/// How long rows stay in a table, in milliseconds; none is for ever (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct DataRetention(pub Option<i64>);

const FOR_EVER: i64 = -1;

impl TryFrom<i64> for DataRetention {
    type Error = Error;

    fn try_from(ms: i64) -> Result<Self> {
        match ms {
            FOR_EVER => Ok(DataRetention(None)),
            1.. => Ok(DataRetention(Some(ms))),
            _ => Err(Error::usage(format!("rows cannot be kept for {ms} ms"))
                .with_hint("say how long in milliseconds, 86400000 for a day; or -1 for ever")),
        }
    }
}

impl From<DataRetention> for i64 {
    fn from(retention: DataRetention) -> i64 {
        retention.0.unwrap_or(FOR_EVER)
    }
}

impl FromStr for DataRetention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ms: i64 = text.trim().parse().map_err(|_| {
            Error::usage(format!("{text:?} is no number of milliseconds"))
                .with_hint("86400000 is a day; -1 is for ever")
        })?;
        DataRetention::try_from(ms)
    }
}

/// How long rows may wait before they are committed (I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitInterval(Interval);

impl CommitInterval {
    pub fn duration(self) -> Duration {
        self.0.duration()
    }

    pub fn as_ms(self) -> u64 {
        self.0.as_ms()
    }
}

impl FromStr for CommitInterval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let interval: Interval = text.parse()?;
        if !(COMMIT_INTERVAL_MIN..=COMMIT_INTERVAL_MAX).contains(&interval.duration()) {
            return Err(Error::usage(format!("a commit interval of {interval} is not between 10ms and 1day")));
        }
        Ok(CommitInterval(interval))
    }
}

impl fmt::Display for CommitInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes (I3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = parse_size::parse_size(text)
            .map_err(|_| Error::usage(format!("{text:?} is not a size such as 64MiB or 2GiB, at most 8EiB")))?;
        if bytes == 0 || i64::try_from(bytes).is_err() {
            return Err(Error::usage(format!("{text:?} is not between 1 byte and 8EiB")));
        }
        Ok(ByteSize(bytes))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// How large files are to become (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileSize(ByteSize);

const FILE_SIZE_MIN: u64 = 64 * 1024;

impl FileSize {
    pub fn bytes(self) -> u64 {
        self.0.bytes()
    }
}

impl FromStr for FileSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let size: ByteSize = text.parse()?;
        if size.bytes() < FILE_SIZE_MIN {
            return Err(Error::usage(format!("files of {} bytes are too small", size.bytes()))
                .with_hint("say a size with its unit, such as 128MiB; 64KiB is the least"));
        }
        Ok(FileSize(size))
    }
}

impl fmt::Display for FileSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Serde's `try_from` and `into` for a type that is written as text.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    )+};
}

as_text!(Interval, Every, CommitInterval, ByteSize, FileSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_intervals_are_whole_milliseconds_in_range() {
        for (text, ms) in [("1ms", 1), ("500ms", 500), (" 10s ", 10_000), ("5m", 300_000), ("1h 30m", 5_400_000)] {
            assert_eq!(text.parse::<Interval>().unwrap().as_ms(), ms, "{text}");
        }
        let year = "365days".parse::<Interval>().unwrap();
        assert_eq!(year.as_ms(), 31_536_000_000);
        let bad = [
            "",
            "10",
            "-1s",
            "0s",
            "1us",
            "1500us",
            "366days",
            "99999999999999999999s",
            "1e3s",
            "ten s",
            "10s;",
            "NaNs",
        ];
        for text in bad {
            let error = text.parse::<Interval>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }

    #[test]
    fn i5_never_is_an_answer_to_how_often() {
        for (text, every) in [("never", None), ("NEVER", None), ("90s", Some(90_000))] {
            assert_eq!(text.parse::<Every>().unwrap().0.map(Interval::as_ms), every, "{text}");
        }
        assert_eq!("1m 30s".parse::<Every>().unwrap().to_string(), "1m 30s");
        assert!("seldom".parse::<Every>().is_err());
    }

    #[test]
    fn i2_commit_intervals_are_10_ms_to_a_day() {
        for good in ["10ms", "1day"] {
            assert_eq!(good.parse::<CommitInterval>().unwrap().to_string(), good);
        }
        for bad in ["9ms", "25h", "-10s"] {
            assert!(bad.parse::<CommitInterval>().is_err(), "{bad}");
        }
    }

    #[test]
    fn i6_files_are_not_so_small_by_mistake() {
        assert_eq!("64KiB".parse::<FileSize>().unwrap().to_string(), "64KiB");
        for text in ["128", "65535", "1KB"] {
            assert!(text.parse::<FileSize>().unwrap_err().report().contains("128MiB"), "{text}");
        }
    }

    #[test]
    fn i3_sizes_neither_wrap_nor_saturate() {
        let cases = [("1", 1), ("64MiB", 67_108_864), ("1.5 GiB", 1_610_612_736), ("1GB", 1_000_000_000)];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "0", "-64MiB", "8EiB", "99999999999999999999GiB", "64 parsecs", "MiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!("1536MiB".parse::<ByteSize>().unwrap().to_string(), "1536MiB");
    }
}
