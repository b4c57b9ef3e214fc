//! Tokens into Arrow types and fields.
//!
//! Owns the grammar: [`parse_columns`] and [`parse_type`].
//! - I1: nesting is bounded, so that no text overflows the stack.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};

use super::lex::{Token, Tokens, Word};
use super::{UTC, Width, flink_name, list_of_field, map_of_fields};
use crate::error::Result;

/// Deeper than any table that engines can read, shallow enough for any stack.
const DEPTH_MAX: usize = 64;
/// Iceberg v2 keeps time in microseconds.
const FRACTION_DIGITS_MAX: u8 = 6;
/// Flink allows digits down to nanoseconds.
const FLINK_FRACTION_DIGITS_MAX: u8 = 9;
/// Flink's longest CHAR.
const LENGTH_MAX: u32 = i32::MAX as u32;
/// Flink's DECIMAL without a precision.
const DECIMAL_PRECISION_DEFAULT: u8 = 10;

const KNOWN_TYPES: &str = "the types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), STRING, \
     VARCHAR(n), CHAR(n), BYTES, VARBINARY(n), BINARY(n), DATE, TIME, TIMESTAMP(p), TIMESTAMP_LTZ(p), ARRAY<t>, \
     MAP<k, v>, ROW<name t, ...>";

/// Parses a list of columns: `ts TIMESTAMP_LTZ(3), amount DECIMAL(10, 2) NOT NULL`.
pub fn parse_columns(text: &str) -> Result<Vec<Field>> {
    let mut parser = Parser { tokens: Tokens::new(text)?, depth: 0 };
    let columns = parser.fields(&Word::End)?;
    parser.end()?;
    Ok(columns)
}

/// Parses one type: `ARRAY<ROW<sku STRING, quantity INT>>`. Its own width, if it has one, is a field's to keep.
pub fn parse_type(text: &str) -> Result<DataType> {
    let mut parser = Parser { tokens: Tokens::new(text)?, depth: 0 };
    let (data_type, _) = parser.data_type()?;
    parser.end()?;
    Ok(data_type)
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn end(&mut self) -> Result<()> {
        let token = self.tokens.peek(0);
        if token.word == Word::End {
            return Ok(());
        }
        Err(self
            .tokens
            .error(&token, format!("expected the end or a comma, found {}", token.shown()))
            .with_hint("columns are separated by commas: \"a INT, b STRING\""))
    }

    /// `name type [NOT NULL], ...` up to, and without, the closing word.
    fn fields(&mut self, closing: &Word) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        let mut seen = HashMap::new();
        while fields.is_empty() || self.tokens.peek(0).word != *closing {
            let (name, token) = self.name()?;
            if let Some(earlier) = seen.insert(name.to_lowercase(), name.clone()) {
                return Err(self.duplicate(&token, &name, &earlier));
            }
            fields.push(self.field(name)?);
            if !self.tokens.take_symbol(',') {
                break;
            }
        }
        Ok(fields)
    }

    fn duplicate(&self, token: &Token, name: &str, earlier: &str) -> crate::Error {
        if name == earlier {
            return self.tokens.error(token, format!("column {} is declared twice", flink_name(name)));
        }
        let message = format!("columns {} and {} differ only by case", flink_name(earlier), flink_name(name));
        self.tokens.error(token, message).with_hint("engines cannot tell them apart: rename or remove one of them")
    }

    fn name(&mut self) -> Result<(String, Token)> {
        let token = self.tokens.take();
        match &token.word {
            Word::Bare(name) => Ok((name.clone(), token)),
            Word::Quoted(name) if name.is_empty() => Err(self.tokens.error(&token, "a column name is empty")),
            Word::Quoted(name) if name.chars().any(char::is_control) => {
                Err(self.tokens.error(&token, "a column name has a control character in it"))
            }
            Word::Quoted(name) => Ok((name.clone(), token)),
            _ => Err(self
                .tokens
                .error(&token, format!("expected a column name, found {}", token.shown()))
                .with_hint("a column is a name and a type: \"amount DECIMAL(10, 2)\"; quote odd names with backticks")),
        }
    }

    /// A type, its width and `NOT NULL`, as a field of that name.
    fn field(&mut self, name: String) -> Result<Field> {
        let (data_type, width) = self.data_type()?;
        let field = Field::new(name, data_type, self.nullable());
        Ok(match width {
            Some(width) => width.on(field),
            None => field,
        })
    }

    fn nullable(&mut self) -> bool {
        if self.tokens.take_words(&["NOT", "NULL"]) {
            return false;
        }
        self.tokens.take_words(&["NULL"]);
        true
    }

    fn data_type(&mut self) -> Result<(DataType, Option<Width>)> {
        self.depth += 1;
        let token = self.tokens.take();
        if self.depth > DEPTH_MAX {
            return Err(self.tokens.error(&token, format!("types are nested more than {DEPTH_MAX} levels deep")));
        }
        let Word::Bare(word) = &token.word else {
            return Err(self
                .tokens
                .error(&token, format!("expected a type, found {}", token.shown()))
                .with_hint(KNOWN_TYPES));
        };
        let word = word.to_ascii_uppercase();
        let typed = (self.typed(&word, &token)?, self.width(&word)?);
        self.depth -= 1;
        Ok(typed)
    }

    /// What a type's word, and the `(n)` after it, say beside the Arrow type.
    fn width(&mut self, word: &str) -> Result<Option<Width>> {
        let of_length: fn(u32) -> Width = match word {
            "TINYINT" => return Ok(Some(Width::Tinyint)),
            "SMALLINT" => return Ok(Some(Width::Smallint)),
            "CHAR" => Width::Char,
            "VARCHAR" => Width::Varchar,
            "BINARY" => Width::Binary,
            "VARBINARY" => Width::Varbinary,
            _ => return Ok(None),
        };
        Ok(self.length()?.map(of_length))
    }

    fn typed(&mut self, word: &str, token: &Token) -> Result<DataType> {
        Ok(match word {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" | "SMALLINT" | "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => {
                self.tokens.take_words(&["PRECISION"]);
                DataType::Float64
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "STRING" | "VARCHAR" | "CHAR" => DataType::Utf8,
            "BYTES" | "VARBINARY" | "BINARY" => DataType::Binary,
            "DATE" => DataType::Date32,
            "TIME" => {
                self.fraction_digits()?;
                DataType::Time64(TimeUnit::Microsecond)
            }
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => {
                self.fraction_digits()?;
                DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
            }
            "ARRAY" => self.array()?,
            "MAP" => self.map()?,
            "ROW" => self.row()?,
            _ => return Err(self.unknown(word, token)),
        })
    }

    fn unknown(&self, word: &str, token: &Token) -> crate::Error {
        let error = self.tokens.error(token, format!("{} is not a type that a table can have", token.shown()));
        match also_known_as(word) {
            Some(name) => error.with_hint(format!("the type is called {name}")),
            None => error.with_hint(KNOWN_TYPES),
        }
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (mut precision, mut scale) = (DECIMAL_PRECISION_DEFAULT, 0);
        if self.tokens.take_symbol('(') {
            precision = self.number("a precision", 1, DECIMAL128_MAX_PRECISION)?;
            if self.tokens.take_symbol(',') {
                scale = self.number("a scale", 0, precision)?;
            }
            self.tokens.expect_symbol(')')?;
        }
        // A scale is at most the precision, and that at most 38.
        Ok(DataType::Decimal128(precision, i8::try_from(scale).unwrap_or_default()))
    }

    fn timestamp(&mut self) -> Result<DataType> {
        self.fraction_digits()?;
        if self.tokens.take_words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            return Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())));
        }
        if self.tokens.take_words(&["WITH", "TIME"]) {
            let token = self.tokens.take();
            return Err(self
                .tokens
                .error(&token, "a table cannot keep a time zone for each row")
                .with_hint("TIMESTAMP_LTZ keeps the instant, which is the same moment in every zone"));
        }
        self.tokens.take_words(&["WITHOUT", "TIME", "ZONE"]);
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    /// `(p)` after a time type; what it says is checked, not kept: tables keep microseconds.
    fn fraction_digits(&mut self) -> Result<()> {
        if !self.tokens.take_symbol('(') {
            return Ok(());
        }
        let token = self.tokens.peek(0);
        let digits: u8 = self.number("a number of fraction digits", 0, FLINK_FRACTION_DIGITS_MAX)?;
        if digits > FRACTION_DIGITS_MAX {
            return Err(self
                .tokens
                .error(&token, format!("a table cannot keep {digits} digits after the second"))
                .with_hint("more than 6 need Iceberg format version 3, which few engines read: use 6 (microseconds)"));
        }
        self.tokens.expect_symbol(')')
    }

    /// `(n)` after a text or bytes type.
    fn length(&mut self) -> Result<Option<u32>> {
        if !self.tokens.take_symbol('(') {
            return Ok(None);
        }
        let length = self.number("a length", 1, LENGTH_MAX)?;
        self.tokens.expect_symbol(')')?;
        Ok(Some(length))
    }

    fn number<N>(&mut self, what: &str, least: N, most: N) -> Result<N>
    where
        N: FromStr + PartialOrd + std::fmt::Display,
    {
        let token = self.tokens.take();
        let number = match &token.word {
            Word::Number(digits) => digits.parse().ok().filter(|number| *number >= least && *number <= most),
            _ => None,
        };
        number.ok_or_else(|| {
            self.tokens.error(&token, format!("expected {what} from {least} to {most}, found {}", token.shown()))
        })
    }

    fn array(&mut self) -> Result<DataType> {
        self.tokens.expect_symbol('<')?;
        let element = self.field(String::new())?;
        self.tokens.expect_symbol('>')?;
        Ok(list_of_field(element))
    }

    fn map(&mut self) -> Result<DataType> {
        self.tokens.expect_symbol('<')?;
        let key = self.field(String::new())?;
        self.tokens.expect_symbol(',')?;
        let value = self.field(String::new())?;
        self.tokens.expect_symbol('>')?;
        Ok(map_of_fields(key, value))
    }

    fn row(&mut self) -> Result<DataType> {
        let closing = if self.tokens.take_symbol('(') { ')' } else { '>' };
        if closing == '>' {
            self.tokens.expect_symbol('<')?;
        }
        let fields = self.fields(&Word::Symbol(closing))?;
        self.tokens.expect_symbol(closing)?;
        Ok(DataType::Struct(fields.into_iter().map(Arc::new).collect()))
    }
}

/// Flink's word for a type that other systems call otherwise.
fn also_known_as(word: &str) -> Option<&'static str> {
    Some(match word {
        "BOOL" => "BOOLEAN",
        "BYTE" | "INT8" => "TINYINT",
        "SHORT" | "INT16" => "SMALLINT",
        "INT32" => "INT",
        "LONG" | "INT64" => "BIGINT",
        "REAL" | "FLOAT32" => "FLOAT",
        "FLOAT64" => "DOUBLE",
        "TEXT" | "UUID" | "JSON" | "VARIANT" | "UTF8" => "STRING",
        "BLOB" | "BYTEA" => "BYTES",
        "DATETIME" => "TIMESTAMP(6)",
        "TIMESTAMPTZ" => "TIMESTAMP_LTZ(6)",
        "STRUCT" => "ROW<name type, ...>",
        "LIST" => "ARRAY<type>",
        _ => return None,
    })
}
