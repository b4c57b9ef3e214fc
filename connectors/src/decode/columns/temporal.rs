//! Dates and times from text and from numbers.
//!
//! Owns the forms that are taken: `2026-11-21`, `08:30:00.25`, `2026-11-21T08:30:00+01:00` (a blank may stand
//! for the T, the seconds may be left out), epoch days and epoch milliseconds.
//! - I1: years run from 1 to 9999, which every engine can hold in microseconds.
//! - I2: a time is cut to the microsecond at or before it: format version 2 of Iceberg has no room for more, and Go and
//!   Java write nanoseconds. It is said before a table is made ([`FINER`]).
//! - I3: text without a zone in a column with one is UTC; text with a zone in a column without is refused.
//!
//! chrono's and arrow-cast's parsers were looked at: they take more forms than one can tell apart, they drop
//! digits, and they do not say whether a zone was there. The calendar is chrono's.

use chrono::NaiveDate;

use super::leaf::Misfit;

const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = SECONDS_A_DAY * MICROS_A_SECOND;
/// 0001-01-01 and 9999-12-31.
const DAY_MIN: i64 = -719_162;
const DAY_MAX: i64 = 2_932_896;

const YEARS: Misfit = Misfit::Range("years run from 0001 to 9999");
/// What a table does not keep of a time.
pub(in crate::decode) const FINER: &str = "a table keeps microseconds: finer digits are cut off";
const DATE_FORM: Misfit = Misfit::Form("a date is written 2026-11-21");
const TIME_FORM: Misfit = Misfit::Form("a time is written 08:30:00.25");
const TIMESTAMP_FORM: Misfit = Misfit::Form("a timestamp is written 2026-11-21T08:30:00.25Z, or is epoch milliseconds");

pub(in crate::decode) fn date(text: &str) -> Result<i32, Misfit> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date(DATE_FORM)?;
    reader.end(DATE_FORM)?;
    date_of_days(days)
}

pub(in crate::decode) fn date_of_days(days: i64) -> Result<i32, Misfit> {
    match i32::try_from(days) {
        Ok(date) if (DAY_MIN..=DAY_MAX).contains(&days) => Ok(date),
        _ => Err(YEARS),
    }
}

/// Milliseconds of a day.
pub(in crate::decode) fn time_of_millis(millis: i64) -> Result<i64, Misfit> {
    let micros = millis.checked_mul(1000).filter(|micros| (0..MICROS_A_DAY).contains(micros));
    micros.ok_or(Misfit::Range("a day has the milliseconds 0 to 86399999"))
}

pub(in crate::decode) fn time(text: &str) -> Result<i64, Misfit> {
    let mut reader = Reader(text.as_bytes());
    let micros = reader.time(TIME_FORM)?;
    reader.end(TIME_FORM)?;
    Ok(micros)
}

pub(in crate::decode) fn timestamp(text: &str, zoned: bool) -> Result<i64, Misfit> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date(TIMESTAMP_FORM)?;
    if !(reader.take(b'T') || reader.take(b' ') || reader.take(b't')) {
        return Err(TIMESTAMP_FORM);
    }
    let time_micros = reader.time(TIMESTAMP_FORM)?;
    let offset_seconds = reader.zone()?;
    reader.end(TIMESTAMP_FORM)?;
    if offset_seconds.is_some() && !zoned {
        return Err(Misfit::Zone);
    }
    timestamp_of_micros(days * MICROS_A_DAY + time_micros - offset_seconds.unwrap_or(0) * MICROS_A_SECOND)
}

pub(in crate::decode) fn timestamp_of_millis(millis: i64) -> Result<i64, Misfit> {
    timestamp_of_micros(millis.checked_mul(1000).ok_or(YEARS)?)
}

pub(in crate::decode) fn timestamp_of_micros(micros: i64) -> Result<i64, Misfit> {
    if (DAY_MIN..=DAY_MAX).contains(&micros.div_euclid(MICROS_A_DAY)) { Ok(micros) } else { Err(YEARS) }
}

/// What is left to read of a text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A number of exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn end(&self, form: Misfit) -> Result<(), Misfit> {
        if self.0.is_empty() { Ok(()) } else { Err(form) }
    }

    /// `YYYY-MM-DD` as days since the epoch.
    fn date(&mut self, form: Misfit) -> Result<i64, Misfit> {
        let year = self.digits(4).ok_or(form)?;
        let month = self.after(b'-').ok_or(form)?;
        let day = self.after(b'-').ok_or(form)?;
        if year == 0 {
            return Err(YEARS);
        }
        let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)
            .ok_or(Misfit::Range("there is no such day in the calendar"))?;
        Ok(date.signed_duration_since(NaiveDate::default()).num_days())
    }

    /// `HH:MM[:SS[.digits]]` as microseconds.
    fn time(&mut self, form: Misfit) -> Result<i64, Misfit> {
        let hour = self.digits(2).ok_or(form)?;
        let minute = self.after(b':').ok_or(form)?;
        let mut second = 0;
        let mut micros = 0;
        if self.take(b':') {
            second = self.digits(2).ok_or(form)?;
            if self.take(b'.') {
                micros = self.micros(form)?;
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(Misfit::Range("a day ends at 23:59:59"));
        }
        Ok((hour * 3600 + minute * 60 + second) * MICROS_A_SECOND + micros)
    }

    /// The digits after a second.
    fn micros(&mut self, form: Misfit) -> Result<i64, Misfit> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(form);
        }
        let kept = count.min(6);
        let value = self.digits(kept).ok_or(form)? * 10_i64.pow(6 - kept as u32);
        let (_, rest) = self.0.split_at_checked(count - kept).ok_or(form)?;
        self.0 = rest;
        Ok(value)
    }

    /// `Z`, `+HH:MM`, `+HHMM` or `+HH` as seconds east of UTC; nothing is `None`.
    fn zone(&mut self) -> Result<Option<i64>, Misfit> {
        if self.take(b'Z') || self.take(b'z') {
            return Ok(Some(0));
        }
        let sign = match self.0.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Ok(None),
        };
        self.0 = self.0.split_first().map_or(&[][..], |(_, rest)| rest);
        let hours = self.digits(2).ok_or(TIMESTAMP_FORM)?;
        let colon = self.take(b':');
        let minutes = if colon || !self.0.is_empty() { self.digits(2).ok_or(TIMESTAMP_FORM)? } else { 0 };
        if hours > 18 || minutes > 59 {
            return Err(Misfit::Range("a zone is at most 18 hours from UTC"));
        }
        Ok(Some(sign * (hours * 3600 + minutes * 60)))
    }

    /// Two digits after a mark.
    fn after(&mut self, mark: u8) -> Option<i64> {
        if self.take(mark) { self.digits(2) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_timestamps_read_in_every_form_that_is_taken() {
        // 2026-11-21T08:30:00Z is 1795249800 (date -u -d ... +%s).
        let base = 1_795_249_800_000_000;
        let cases = [
            ("2026-11-21T08:30:00Z", base),
            ("2026-11-21t08:30:00z", base),
            ("2026-11-21 08:30:00", base),
            ("2026-11-21T08:30", base),
            ("2026-11-21T08:30Z", base),
            ("2026-11-21T08:30:00.25Z", base + 250_000),
            ("2026-11-21T08:30:00.123456Z", base + 123_456),
            ("2026-11-21T08:30:00.123456000Z", base + 123_456),
            ("2026-11-21T08:30:00.123456789Z", base + 123_456),
            ("2026-11-21T08:30:00.000000999999Z", base),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("1969-12-31T23:59:59.000000001Z", -1_000_000),
            ("2026-11-21T10:00:00+01:30", base),
            ("2026-11-21T10:00:00+0130", base),
            ("2026-11-21T03:30:00-05", base),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(timestamp(text, true), Ok(micros), "{text}");
        }
    }

    #[test]
    fn i1_i3_what_cannot_be_kept_is_refused() {
        let cases = [
            ("0000-01-01T00:00:00Z", YEARS),
            ("0001-01-01T00:00:00+01:00", YEARS),
            ("9999-12-31T23:59:59-01:00", YEARS),
            ("2023-02-29T00:00:00Z", Misfit::Range("there is no such day in the calendar")),
            ("2026-13-01T00:00:00Z", Misfit::Range("there is no such day in the calendar")),
            ("2026-11-21T24:00:00Z", Misfit::Range("a day ends at 23:59:59")),
            ("2026-11-21T23:59:60Z", Misfit::Range("a day ends at 23:59:59")),
            ("2026-11-21T00:00:00+19:00", Misfit::Range("a zone is at most 18 hours from UTC")),
            ("2026-11-21", TIMESTAMP_FORM),
            ("2026-11-21T", TIMESTAMP_FORM),
            ("2026-11-21T08:30:00.Z", TIMESTAMP_FORM),
            ("2026-11-21T08:30:00 Z", TIMESTAMP_FORM),
            ("2026-11-21T08:30:00+1", TIMESTAMP_FORM),
            ("12026-11-21T08:30:00Z", TIMESTAMP_FORM),
            ("+2026-11-21T08:30:00Z", TIMESTAMP_FORM),
            ("yesterday", TIMESTAMP_FORM),
            ("", TIMESTAMP_FORM),
        ];
        for (text, misfit) in cases {
            assert_eq!(timestamp(text, true), Err(misfit), "{text}");
        }
        assert_eq!(timestamp("2026-11-21T08:30:00Z", false), Err(Misfit::Zone));
        assert_eq!(timestamp("1970-01-01T00:00:01", false), Ok(1_000_000));
    }

    #[test]
    fn i1_numbers_are_checked_too() {
        assert_eq!(timestamp_of_millis(1_700_000_000_000), Ok(1_700_000_000_000_000));
        assert_eq!(timestamp_of_millis(253_402_300_799_999), Ok(253_402_300_799_999_000));
        for millis in [253_402_300_800_000, -62_135_596_800_001, i64::MAX, i64::MIN] {
            assert_eq!(timestamp_of_millis(millis), Err(YEARS), "{millis}");
        }
        assert_eq!(date_of_days(DAY_MIN), date("0001-01-01"));
        assert_eq!(date_of_days(DAY_MAX), date("9999-12-31"));
        assert_eq!(date("1970-01-02"), Ok(1));
        for days in [DAY_MIN - 1, DAY_MAX + 1, i64::MAX] {
            assert_eq!(date_of_days(days), Err(YEARS), "{days}");
        }
    }

    #[test]
    fn times_are_of_one_day_and_have_no_zone() {
        assert_eq!(time("08:30:00.25"), Ok(30_600_250_000));
        assert_eq!(time("23:59"), Ok(86_340_000_000));
        assert_eq!(time("23:59:59.999999999"), Ok(86_399_999_999));
        for text in ["08:30:00Z", "8:30", "", "08:30:"] {
            assert_eq!(time(text), Err(TIME_FORM), "{text}");
        }
    }
}
