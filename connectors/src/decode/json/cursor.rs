//! What is left to read of a record's JSON, token by token.
//!
//! Owns [`Cursor`], which gives up ([`None`]) on anything that is no JSON, and on some that is.
//! - I1: what it takes is a token by RFC 8259, and its value is the one that serde_json reads.
//! - I2: a text is one that Unicode has: half of a pair of surrogates is given up on.
//! - I3: nothing is allocated but for a text with escapes longer than those before it.
//!
//! serde_json's reader was measured: through a visitor it makes three calls for each token (decision 6).

use super::DEPTH_MAX;

/// Ten to so many is a double that is exact, and so is what a whole number below 2^53 is divided by it (Clinger, 1990).
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
const EXACT_MAX: u64 = 1 << 53;

/// So many digits fit 64 bits, whatever they are.
const DIGITS_MAX: usize = 18;

pub(super) struct Cursor<'a> {
    json: &'a str,
    at: usize,
    /// The last text that had escapes.
    unescaped: &'a mut String,
}

pub(super) enum Number<'a> {
    Whole(i64),
    Fraction(f64),
    /// Its text: whole or a fraction, with an exponent or many digits, or the zero below zero.
    Other(&'a str),
}

impl<'a> Cursor<'a> {
    pub fn new(json: &'a str, unescaped: &'a mut String) -> Self {
        Cursor { json, at: 0, unescaped }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// The byte that the next token begins with.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    #[inline]
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes this mark, if it is next.
    #[inline]
    pub fn take(&mut self, mark: u8) -> bool {
        let is_next = self.peek() == Some(mark);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub fn expect(&mut self, mark: u8) -> Option<()> {
        self.take(mark).then_some(())
    }

    /// Takes what stands before the next of several things: nothing before the first, a comma before the others, or the
    /// mark that closes them. Is there another one?
    #[inline]
    pub fn another(&mut self, is_first: &mut bool, close: u8) -> Option<bool> {
        if self.take(close) {
            return Some(false);
        }
        if !std::mem::take(is_first) {
            self.expect(b',')?;
        }
        Some(true)
    }

    /// Takes `null`, `true` or `false`.
    #[inline]
    pub fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        if self.json.as_bytes().get(self.at..end)? != word.as_bytes() {
            return None;
        }
        self.at = end;
        Some(())
    }

    /// A text.
    #[inline]
    pub fn text(&mut self) -> Option<&str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = self.end_of_plain(start)?;
        self.at = end + 1;
        match self.json.as_bytes().get(end)? {
            b'"' => self.json.get(start..end),
            _ => self.escaped(start, end),
        }
    }

    /// Where a text's quote or its next escape is; a control character is none of its characters.
    #[inline]
    fn end_of_plain(&self, start: usize) -> Option<usize> {
        let end = start + plain_length(self.json.as_bytes().get(start..)?);
        matches!(self.json.as_bytes().get(end)?, b'"' | b'\\').then_some(end)
    }

    /// A text with escapes, the first of them at `end`.
    #[cold]
    fn escaped(&mut self, mut start: usize, mut end: usize) -> Option<&str> {
        self.unescaped.clear();
        loop {
            self.unescaped.push_str(self.json.get(start..end)?);
            self.at = end + 1;
            if self.json.as_bytes().get(end) == Some(&b'"') {
                return Some(self.unescaped);
            }
            let escape = self.escape()?;
            self.unescaped.push(escape);
            start = self.at;
            end = self.end_of_plain(start)?;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return None,
        })
    }

    /// I2.
    fn unicode(&mut self) -> Option<char> {
        let unit = self.hex()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit.into());
        }
        if (self.next()?, self.next()?) != (b'\\', b'u') {
            return None;
        }
        char::decode_utf16([unit, self.hex()?]).next()?.ok()
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.json.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.byte()?;
        self.at += 1;
        Some(byte)
    }

    /// A number.
    #[inline]
    pub fn number(&mut self) -> Option<Number<'a>> {
        let start = self.at;
        let negative = self.byte()? == b'-';
        self.at += usize::from(negative);
        let (value, digits) = self.digits(0);
        if digits == 0 || (digits > 1 && self.json.as_bytes().get(self.at - digits) == Some(&b'0')) {
            return None;
        }
        match self.byte() {
            Some(b'.' | b'e' | b'E') => self.fraction(start, negative, value, digits),
            _ if digits <= DIGITS_MAX && !(negative && value == 0) => {
                let value = value.cast_signed();
                Some(Number::Whole(if negative { -value } else { value }))
            }
            _ => Some(Number::Other(self.json.get(start..self.at)?)),
        }
    }

    /// The digits that are next, behind those of `value`; what more than [`DIGITS_MAX`] come to means nothing.
    #[inline]
    fn digits(&mut self, mut value: u64) -> (u64, usize) {
        let start = self.at;
        while let Some(digit) = self.byte().map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            value = value.wrapping_mul(10).wrapping_add(digit.into());
            self.at += 1;
        }
        (value, self.at - start)
    }

    /// The rest of a number that began at `start`, behind its whole part.
    fn fraction(&mut self, start: usize, negative: bool, whole: u64, whole_digits: usize) -> Option<Number<'a>> {
        let (mut value, mut digits) = (whole, 0);
        if self.byte() == Some(b'.') {
            self.at += 1;
            (value, digits) = self.digits(whole);
            if digits == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            let (_, exponent_digits) = self.digits(0);
            if exponent_digits == 0 {
                return None;
            }
        } else if whole_digits + digits <= DIGITS_MAX && value <= EXACT_MAX {
            let value = value as f64 / POWERS_OF_TEN.get(digits)?;
            return Some(Number::Fraction(if negative { -value } else { value }));
        }
        Some(Number::Other(self.json.get(start..self.at)?))
    }

    /// Any value, inside of `depth` objects and arrays, as it is written.
    pub fn raw(&mut self, depth: usize) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.pass_over(depth)?;
        self.json.get(start..self.at)
    }

    fn pass_over(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.text().map(|_| ()),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'[' => self.inside(depth, b']', |cursor, depth| cursor.pass_over(depth)),
            b'{' => self.inside(depth, b'}', |cursor, depth| {
                cursor.text()?;
                cursor.expect(b':')?;
                cursor.pass_over(depth)
            }),
            _ => self.number().map(|_| ()),
        }
    }

    /// What is inside of an object or array, one after the other; the mark that opens it is next.
    #[inline]
    pub fn inside(
        &mut self,
        depth: usize,
        close: u8,
        mut one: impl FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        if depth >= DEPTH_MAX {
            return None;
        }
        self.at += 1;
        let mut is_first = true;
        while self.another(&mut is_first, close)? {
            one(self, depth + 1)?;
        }
        Some(())
    }
}

/// How many bytes there are before a quote, a backslash or a control character: eight at a time.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*eight));
        if marks != 0 {
            return 8 * index + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    8 * eights.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each of eight bytes that ends a plain run. Behind the first one there may be some that are not.
#[inline]
fn marks(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |eight: u64, limit: u64| eight.wrapping_sub(ONES * limit) & !eight;
    let quote = eight ^ (ONES * b'"' as u64);
    let backslash = eight ^ (ONES * b'\\' as u64);
    (below(eight, b' '.into()) | below(quote, 1) | below(backslash, 1)) & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text of a whole JSON text, and what is left behind it.
    fn text(json: &str) -> Option<String> {
        let mut unescaped = String::new();
        let mut cursor = Cursor::new(json, &mut unescaped);
        let text = cursor.text()?.to_owned();
        cursor.is_at_end().then_some(text)
    }

    fn number(json: &str) -> Option<f64> {
        let mut unescaped = String::new();
        let mut cursor = Cursor::new(json, &mut unescaped);
        let number = match cursor.number()? {
            Number::Whole(value) => value as f64,
            Number::Fraction(value) => value,
            Number::Other(text) => text.parse().unwrap(),
        };
        cursor.is_at_end().then_some(number)
    }

    fn raw(json: &str) -> Option<String> {
        let mut unescaped = String::new();
        let mut cursor = Cursor::new(json, &mut unescaped);
        let raw = cursor.raw(0)?.to_owned();
        cursor.is_at_end().then_some(raw)
    }

    #[test]
    fn numbers_that_are_easily_misread() {
        let cases = [
            "0",
            "-0",
            "-0.0",
            "00",
            "01",
            "-",
            "-a",
            "1.",
            ".5",
            "1.e5",
            "1e",
            "1e+",
            "1e5",
            "1E-5",
            "1.25",
            "0.1",
            "123456789012345678",
            "1234567890123456789",
            "18446744073709551616",
            "9007199254740993.0",
            "0.30000000000000004",
            "179769313486231570000000000000.5",
            "0.0000000000000000000000001",
            "+1",
            "1_0",
        ];
        for json in cases {
            let expected = serde_json::from_str::<f64>(json).ok();
            assert_eq!(number(json).map(f64::to_bits), expected.map(f64::to_bits), "{json}");
        }
    }

    #[test]
    fn i2_half_a_pair_is_no_text() {
        for json in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\n""#, r#""\ud83d\ud83d""#, r#""\u+123""#]
        {
            assert_eq!(text(json), None, "{json}");
        }
        assert_eq!(text(r#""\ud83d\ude00\u0000\u00e4""#).as_deref(), Some("😀\0ä"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(raw(&nested(DEPTH_MAX)).is_some());
        assert!(raw(&nested(DEPTH_MAX + 1)).is_none());
        assert!(raw(&nested(100_000)).is_none());
    }

    proptest! {
        #[test]
        fn i1_texts_are_those_of_serde_json(
            json in prop_oneof![
                "\"([a-zä€😀 ]{0,9}(\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fD]{4}|\"|\u{1}|\u{7f})?){0,5}\" ?",
                any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            ]
        ) {
            prop_assert_eq!(text(&json), serde_json::from_str::<String>(&json).ok());
        }

        #[test]
        fn i1_numbers_are_those_of_serde_json(
            json in prop_oneof![
                "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,2})?",
                any::<f64>().prop_filter("JSON has none", |value| value.is_finite()).prop_map(|value| value.to_string()),
                any::<i64>().prop_map(|value| value.to_string()),
            ]
        ) {
            let expected = serde_json::from_str::<f64>(&json).ok();
            prop_assert_eq!(number(&json).map(f64::to_bits), expected.map(f64::to_bits));
        }

        #[test]
        fn i1_values_are_those_of_serde_json(json in "[\\[\\]{}:,\"a1\\-.0 \\\\nu]{1,12}|[\\[{]\"a\":?\\[?(null|true|fals|1|\"\"),? ?[\\]}]{1,2}") {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(&json).ok();
            let taken = raw(&json);
            if let Some(taken) = &taken {
                prop_assert_eq!(Some(taken.as_str()), expected.map(|raw| raw.get()));
            }
            // What it gives up on and serde_json takes has half a pair of surrogates.
            prop_assert!(taken.is_some() || expected.is_none() || json.contains("\\u"));
        }
    }
}
