//! Values that a source did not send again, since they did not change.
//!
//! Owns [`Unavailable`], which knows the word that Debezium's connectors put in the place of such a value
//! (`unavailable.value.placeholder`), in each form that they give it.
//! - I1: what is told is a whole value of a column; one inside of a row is never left out by a source.

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Clone, Debug)]
pub struct Unavailable {
    word: String,
    /// The word as bytes are in JSON, and as a map of it is.
    texts: [String; 2],
    /// Of lists of numbers: one for each byte of the word.
    numbers: Vec<f64>,
}

impl Unavailable {
    /// The word where nobody chose another one.
    pub const WORD_DEFAULT: &str = "__debezium_unavailable_value";

    /// What a connector was told to write, or else what all write.
    pub fn new(word: Option<&str>) -> Self {
        let word = word.unwrap_or(Self::WORD_DEFAULT).to_owned();
        let texts = [STANDARD.encode(&word), serde_json::json!({ word.as_str(): word }).to_string()];
        let numbers = word.bytes().map(|byte| f64::from(byte.cast_signed())).collect();
        Unavailable { word, texts, numbers }
    }

    /// The rows of a column whose value was not sent; as a rule none.
    pub fn rows(&self, column: &ArrayRef) -> Vec<usize> {
        let some =
            |is: &dyn Fn(usize) -> bool| (0..column.len()).filter(|row| !column.is_null(*row) && is(*row)).collect();
        match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                some(&|row| self.is_text(texts.value(row)))
            }
            DataType::Binary => {
                let bytes = column.as_binary::<i32>();
                some(&|row| bytes.value(row) == self.word.as_bytes())
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                some(&|row| self.is_list(list, row))
            }
            DataType::Map(_, _) => {
                let map = column.as_map();
                some(&|row| {
                    let pair = map.value(row);
                    let is_word = |side: &ArrayRef| matches!(self.rows(side).as_slice(), [0]);
                    pair.len() == 1 && pair.columns().iter().all(is_word)
                })
            }
            _ => Vec::new(),
        }
    }

    fn is_text(&self, text: &str) -> bool {
        text == self.word || self.texts.iter().any(|other| other == text)
    }

    /// One element that is the word, or its bytes.
    fn is_list(&self, list: &GenericListArray<i32>, row: usize) -> bool {
        let length = list.value_length(row);
        if length == 1 {
            return self.rows(&list.value(row)).as_slice() == [0];
        }
        if usize::try_from(length) != Ok(self.numbers.len()) || !list.value_type().is_numeric() {
            return false;
        }
        let numbers = cast(&list.value(row), &DataType::Float64);
        numbers.is_ok_and(|numbers| {
            numbers.null_count() == 0 && numbers.as_primitive::<Float64Type>().values().as_ref() == self.numbers
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Int64Array, Int64Builder, ListBuilder, MapBuilder, StringArray, StringBuilder};

    use super::*;

    const WORD: &str = "__debezium_unavailable_value";

    fn rows(column: impl Array + 'static) -> Vec<usize> {
        Unavailable::new(None).rows(&(Arc::new(column) as ArrayRef))
    }

    #[test]
    fn a_value_that_was_not_sent_is_told_in_each_of_its_forms() {
        let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
        let map = r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#;
        let texts = vec![Some("a"), Some(WORD), None, Some(base64), Some("__debezium_unavailable"), Some(map)];
        assert_eq!(rows(StringArray::from(texts)), [1, 3, 5]);
        assert_eq!(rows(BinaryArray::from(vec![None, Some(WORD.as_bytes()), Some(b"")])), [1]);
        assert_eq!(rows(Int64Array::from(vec![95])), [0_usize; 0]);

        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some(WORD), Some(WORD)]);
        lists.append_value([Some(WORD)]);
        lists.append_null();
        lists.append_value([None::<&str>]);
        assert_eq!(rows(lists.finish()), [1]);

        let mut numbers = ListBuilder::new(Int64Builder::new());
        numbers.append_value(WORD.bytes().map(|byte| Some(i64::from(byte))));
        numbers.append_value(WORD.bytes().rev().map(|byte| Some(i64::from(byte))));
        numbers.append_value([Some(95)]);
        assert_eq!(rows(numbers.finish()), [0]);

        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for (key, value) in [(WORD, "v"), (WORD, WORD)] {
            maps.keys().append_value(key);
            maps.values().append_value(value);
            maps.append(true).unwrap();
        }
        assert_eq!(rows(maps.finish()), [1]);
    }

    #[test]
    fn another_word_takes_the_place_of_the_usual_one() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![WORD, "n/a", "bi9h"]));
        assert_eq!(Unavailable::new(Some("n/a")).rows(&texts), [1, 2]);
    }
}
