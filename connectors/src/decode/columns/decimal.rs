//! Decimal numbers from their text, exactly.
//!
//! Owns [`parse`] and the digits that a number needs.
//! - I1: what is kept equals what was written; a digit that does not fit is refused, never rounded away.
//!
//! arrow-cast's `parse_decimal` was looked at: it rounds digits beyond the scale away without a word.

use super::leaf::Misfit;

/// Exponents beyond this are far outside any DECIMAL; sums with lengths of texts stay exact.
const EXPONENT_MAX: i64 = 1 << 40;

/// The digits of a number, leading and trailing zeros aside.
pub(in crate::decode) struct Digits<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    /// How many of the digits, leading zeros included, come before the first one that is not zero.
    leading: usize,
    /// How many digits there are from the first that is not zero to the last one.
    count: usize,
    /// Where the decimal point stands, counted from the first digit that is not zero.
    point: i64,
}

impl<'a> Digits<'a> {
    /// Reads `[+-] digits [. digits] [e [+-] digits]`; anything else is `None`.
    pub fn of(text: &'a str) -> Option<Self> {
        let (sign, rest) = match text.as_bytes() {
            [sign @ (b'-' | b'+'), rest @ ..] => (*sign, rest),
            rest => (b'+', rest),
        };
        let (integer, rest) = split_digits(rest)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest)?,
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        let total = integer.len() + fraction.len();
        let leading = integer.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
        let trailing = integer.iter().chain(fraction).rev().take_while(|digit| **digit == b'0').count();
        let count = total.saturating_sub(leading + trailing);
        let point = integer.len() as i64 - leading as i64 + exponent;
        Some(Digits { negative: sign == b'-', integer, fraction, leading, count, point })
    }

    /// How many digits it needs before the decimal point, and how many after it.
    pub fn needed(&self) -> (i64, i64) {
        if self.count == 0 { (0, 0) } else { (self.point.max(0), (self.count as i64 - self.point).max(0)) }
    }

    fn significant(&self) -> impl Iterator<Item = u8> + '_ {
        self.integer.iter().chain(self.fraction).skip(self.leading).take(self.count).copied()
    }
}

/// The unscaled value of a decimal number.
pub(in crate::decode) fn parse(text: &str, precision: u8, scale: i8) -> Result<i128, Misfit> {
    let digits = Digits::of(text).ok_or(Misfit::Form("a decimal number is digits with an optional point"))?;
    let (integer, fraction) = digits.needed();
    if fraction > i64::from(scale) {
        return Err(Misfit::Range("it has more digits after the decimal point than the column"));
    }
    if integer > i64::from(precision) - i64::from(scale) {
        return Err(Misfit::Range("it has more digits before the decimal point than the column"));
    }
    if digits.count == 0 {
        return Ok(0);
    }
    let value = digits.significant().fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let shift = i64::from(scale) - (digits.count as i64 - digits.point);
    let value = value * 10_i128.pow(u32::try_from(shift).unwrap_or_default());
    Ok(if digits.negative { -value } else { value })
}

/// One digit or more, and what follows them.
fn split_digits(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 { None } else { bytes.split_at_checked(length) }
}

fn exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let (digits, rest) = split_digits(digits)?;
    let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    rest.is_empty().then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_what_is_kept_is_what_was_written_or_nothing() {
        let long = "9".repeat(38);
        let cases: &[(&str, u8, i8, Option<i128>)] = &[
            ("0.1", 10, 2, Some(10)),
            ("-0.1", 10, 2, Some(-10)),
            ("+12.340", 10, 2, Some(1234)),
            ("12.345", 10, 2, None),
            ("12.3400000000000000000000000000000000000000000000", 10, 2, Some(1234)),
            ("99999999.99", 10, 2, Some(9_999_999_999)),
            ("100000000", 10, 2, None),
            ("000000000000000000000000000000000000000000000001", 10, 2, Some(100)),
            ("1e3", 10, 2, Some(100_000)),
            ("1.5E-1", 10, 2, Some(15)),
            ("1e-3", 10, 2, None),
            ("12300e-4", 10, 2, Some(123)),
            ("0e99999999999999999999999", 10, 2, Some(0)),
            ("1e99999999999999999999999", 10, 2, None),
            ("1e-99999999999999999999999", 10, 2, None),
            ("-0", 1, 0, Some(0)),
            ("0.000", 3, 0, Some(0)),
            (&long, 38, 0, Some(99_999_999_999_999_999_999_999_999_999_999_999_999)),
            ("0.00000000000000000000000000000000000001", 38, 38, Some(1)),
            ("1", 38, 38, None),
            ("100", 3, 0, Some(100)),
            ("", 10, 2, None),
            (".5", 10, 2, None),
            ("5.", 10, 2, None),
            ("1e", 10, 2, None),
            ("1 ", 10, 2, None),
            ("0x10", 10, 2, None),
            ("NaN", 10, 2, None),
            ("1e5x", 10, 2, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(parse(text, *precision, *scale).ok(), *expected, "{text}");
        }
    }
}
