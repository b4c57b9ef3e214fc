//! Type words read and printed: what each means, which are refused, and that what is printed reads back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use proptest::prelude::*;

use super::*;

fn micros(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
}

#[test]
fn i1_every_type_word_means_one_arrow_type() {
    let cases = [
        ("BOOLEAN", DataType::Boolean),
        ("tinyint", DataType::Int32),
        ("SMALLINT", DataType::Int32),
        ("INT", DataType::Int32),
        ("Integer", DataType::Int32),
        ("BIGINT", DataType::Int64),
        ("FLOAT", DataType::Float32),
        ("DOUBLE", DataType::Float64),
        ("DOUBLE PRECISION", DataType::Float64),
        ("DECIMAL", DataType::Decimal128(10, 0)),
        ("DEC(5)", DataType::Decimal128(5, 0)),
        ("NUMERIC(38, 38)", DataType::Decimal128(38, 38)),
        ("STRING", DataType::Utf8),
        ("VARCHAR(255)", DataType::Utf8),
        ("VARCHAR", DataType::Utf8),
        ("CHAR(3)", DataType::Utf8),
        ("BYTES", DataType::Binary),
        ("VARBINARY(16)", DataType::Binary),
        ("BINARY(16)", DataType::Binary),
        ("DATE", DataType::Date32),
        ("TIME", DataType::Time64(TimeUnit::Microsecond)),
        ("TIME(3)", DataType::Time64(TimeUnit::Microsecond)),
        ("TIMESTAMP", micros(None)),
        ("TIMESTAMP(6) WITHOUT TIME ZONE", micros(None)),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", micros(Some("+00:00"))),
        ("TIMESTAMP_LTZ(0)", micros(Some("+00:00"))),
        ("TIMESTAMP_LTZ", micros(Some("+00:00"))),
        ("ARRAY<INT NOT NULL>", DataType::List(Arc::new(Field::new("element", DataType::Int32, false)))),
        (
            "MAP<STRING, ARRAY<DATE>>",
            DataType::Map(
                Arc::new(Field::new(
                    "key_value",
                    DataType::Struct(
                        vec![
                            Field::new("key", DataType::Utf8, false),
                            Field::new(
                                "value",
                                DataType::List(Arc::new(Field::new("element", DataType::Date32, true))),
                                true,
                            ),
                        ]
                        .into(),
                    ),
                    false,
                )),
                false,
            ),
        ),
        (
            "ROW(a INT NOT NULL, `b c` STRING)",
            DataType::Struct(
                vec![Field::new("a", DataType::Int32, false), Field::new("b c", DataType::Utf8, true)].into(),
            ),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_type(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_column_list_gives_fields_in_order() {
    let text =
        "ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2),\n `odd ``name` ROW<a INT, b ARRAY<STRING>> NOT NULL, date DATE";
    let columns = parse_columns(text).unwrap();
    let row = DataType::Struct(
        vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true),
        ]
        .into(),
    );
    assert_eq!(
        columns,
        vec![
            Field::new("ts", micros(Some("+00:00")), true),
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("odd `name", row, false),
            Field::new("date", DataType::Date32, true),
        ]
    );
}

#[test]
fn i4_an_error_says_what_is_wrong_and_points_at_it() {
    let cases = [
        (
            "amount DECIML(10,2)",
            "error: DECIML is not a type that a table can have\n  detail: at line 1, column 8\n    amount \
             DECIML(10,2)\n           ^^^^^^\n  hint: the types are BOOLEAN",
        ),
        (
            "a TEXT",
            "error: TEXT is not a type that a table can have\n  detail: at line 1, column 3\n    a TEXT\n      ^^^^\n  hint: the type is called STRING",
        ),
        (
            "a INT,\n ts TIMESTAMP(9)",
            "error: a table cannot keep 9 digits after the second\n  detail: at line 2, column 15\n     ts TIMESTAMP(9)\n                  ^\n  \
             hint: more than 6 need Iceberg format version 3, which few engines read: use 6 (microseconds)",
        ),
        ("ts TIMESTAMP_LTZ(7)", "error: a table cannot keep 7 digits"),
        ("t TIME(8)", "error: a table cannot keep 8 digits"),
        ("t TIME(12)", "error: expected a number of fraction digits from 0 to 9, found 12"),
        ("t TIMESTAMP(3) WITH TIME ZONE", "error: a table cannot keep a time zone for each row"),
        ("d DECIMAL(39)", "error: expected a precision from 1 to 38, found 39"),
        ("d DECIMAL(0)", "error: expected a precision from 1 to 38, found 0"),
        ("d DECIMAL(5, 6)", "error: expected a scale from 0 to 5, found 6"),
        ("d DECIMAL(5", "error: expected ')', found the end of the text"),
        ("d DECIMAL(99999999999999999999)", "error: expected a precision from 1 to 38, found 99999999999999999999"),
        ("v VARCHAR(0)", "error: expected a length from 1 to 2147483647, found 0"),
        ("a INT b INT", "error: expected the end or a comma, found b"),
        ("a INT, a STRING", "error: column a is declared twice\n  detail: at line 1, column 8"),
        ("a INT, A STRING", "error: columns a and A differ only by case"),
        ("r ROW<x INT, X INT>", "error: columns x and X differ only by case"),
        ("Ä INT, ä STRING", "error: columns Ä and ä differ only by case"),
        ("", "error: expected a column name, found the end of the text"),
        ("a", "error: expected a type, found the end of the text"),
        ("1a INT", "error: expected a column name, found 1"),
        ("`` INT", "error: a column name is empty"),
        ("`a\u{1}` INT", "error: a column name has a control character in it"),
        ("`a INT", "error: a name in backticks has no end"),
        ("a ARRAY", "error: expected '<', found the end of the text"),
        ("a ROW<>", "error: expected a column name, found '>'"),
        ("a INT;", "error: expected the end or a comma, found ';'"),
    ];
    for (text, expected) in cases {
        let report = parse_columns(text).unwrap_err().report();
        assert!(report.starts_with(expected), "{text}:\n{report}");
    }
}

#[test]
fn i4_a_long_text_is_cut_around_the_caret() {
    let text = format!("bad WRONG, {}", "c INT, ".repeat(100_000));
    let report = parse_columns(&text).unwrap_err().report();
    assert!(report.len() < 1000, "{} bytes", report.len());
    let text = format!("{} bad WRONG", (0..100_000).map(|n| format!("c{n} INT,")).collect::<String>());
    let report = parse_columns(&text).unwrap_err().report();
    assert!(report.len() < 1000, "{} bytes", report.len());
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[2].find("WRONG"), lines[3].find("^^^^^"), "{report}");
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{}INT{}", "ARRAY<".repeat(levels), ">".repeat(levels));
    assert!(parse_type(&nested(20)).is_ok());
    let error = parse_type(&nested(10_000)).unwrap_err();
    assert_eq!(error.message(), "types are nested more than 64 levels deep");
}

#[test]
fn a_type_prints_as_flink_writes_it() {
    let columns =
        parse_columns("`odd name` ROW<a INT NOT NULL, b MAP<STRING, TIMESTAMP_LTZ(3) NOT NULL>> NOT NULL").unwrap();
    assert_eq!(
        flink_column(&columns[0]),
        "`odd name` ROW<a INT NOT NULL, b MAP<STRING, TIMESTAMP_LTZ(6) NOT NULL>> NOT NULL"
    );
    assert_eq!(flink_name("a`b"), "`a``b`");
    assert_eq!(flink_name("1st"), "`1st`");
    assert_eq!(flink_name("größe_$1"), "größe_$1");
}

#[test]
fn a_width_stays_with_its_field_and_prints_as_it_was_declared() {
    let text = "a TINYINT, b SMALLINT NOT NULL, c CHAR(3), d VARCHAR(12), e BINARY(4), f VARBINARY(16), \
                l ARRAY<TINYINT NOT NULL>, m MAP<VARCHAR(2), SMALLINT>, r ROW<x CHAR(1)>, s STRING, v VARCHAR";
    let columns = parse_columns(text).unwrap();
    let printed: Vec<String> = columns.iter().map(flink_column).collect();
    assert_eq!(printed.join(", "), text.replace("v VARCHAR", "v STRING"));
    assert_eq!(parse_columns(&printed.join(", ")).unwrap(), columns);
    assert_eq!(columns[0].data_type(), &DataType::Int32);
    let widths: Vec<Option<Width>> = columns.iter().take(4).map(Width::of).collect();
    let expected = [Width::Tinyint, Width::Smallint, Width::Char(3), Width::Varchar(12)];
    assert_eq!(widths, expected.map(Some));
}

#[test]
fn a_width_takes_what_flink_says_it_holds() {
    for (width, least, most) in [(Width::Tinyint, -128, 127), (Width::Smallint, -32_768, 32_767)] {
        assert!(width.takes_number(least) && width.takes_number(most), "{width}");
        assert!(!width.takes_number(least - 1) && !width.takes_number(most + 1), "{width}");
    }
    // Characters, not bytes.
    assert!(Width::Varchar(3).takes_text("äöü") && !Width::Varchar(3).takes_text("äöüß"));
    assert!(Width::Char(3).takes_text("") && !Width::Char(3).takes_text("abcd"));
    assert!(Width::Binary(2).takes_bytes(2) && !Width::Varbinary(2).takes_bytes(3));
}

fn any_type() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::Float32),
        Just(DataType::Float64),
        (1u8..=38)
            .prop_flat_map(|precision| (Just(precision), 0..=precision as i8))
            .prop_map(|(p, s)| DataType::Decimal128(p, s)),
        Just(DataType::Utf8),
        Just(DataType::Binary),
        Just(DataType::Date32),
        Just(DataType::Time64(TimeUnit::Microsecond)),
        Just(micros(None)),
        Just(micros(Some("+00:00"))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(|(element, nullable)| list_of(element, nullable)),
            (inner.clone(), inner.clone(), any::<bool>())
                .prop_map(|(key, value, nullable)| map_of(key, value, nullable)),
            prop::collection::vec((inner, any::<bool>(), "[^\\p{C}]{1,6}"), 1..4).prop_map(|fields| {
                let named = fields.into_iter().enumerate();
                DataType::Struct(
                    named.map(|(n, (t, nullable, name))| Field::new(format!("{name}{n}"), t, nullable)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn i2_what_is_printed_parses_back(data_type in any_type()) {
        prop_assert_eq!(parse_type(&flink_type(&data_type)).unwrap(), data_type);
    }
}
