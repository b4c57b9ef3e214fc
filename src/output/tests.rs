//! Each format's exact text; the expected texts are written by hand from the invariants of `output`.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use serde::Serialize;

use super::*;

fn rows(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> String {
    let mut out = Vec::new();
    let mut rows = Rows::new(format, schema, &mut out).unwrap();
    batches.iter().for_each(|batch| rows.write(batch).unwrap());
    rows.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn printed_rows(format: Format, batch: &RecordBatch) -> String {
    rows(format, &batch.schema(), std::slice::from_ref(batch))
}

fn nullable(name: &str, array: ArrayRef) -> (String, ArrayRef, bool) {
    (name.to_owned(), array, true)
}

/// One column of every kind that JSON must be careful with; the second row is null throughout.
fn delicate() -> RecordBatch {
    let point: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("lat", DataType::Float64, true)), Arc::new(Float64Array::from(vec![48.5, 0.0]))),
        (Arc::new(Field::new("at", DataType::Binary, true)), Arc::new(BinaryArray::from(vec![&b"\xff"[..], b""]))),
    ];
    let point = StructArray::try_new(
        point.iter().map(|(field, _)| field.clone()).collect(),
        point.into_iter().map(|(_, array)| array).collect(),
        Some(vec![true, false].into()),
    );
    let berlin = TimestampMicrosecondArray::from(vec![Some(1_767_225_599_123_000), None]);
    let decimal = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123_450), None]);
    RecordBatch::try_from_iter_with_nullable([
        nullable("whole", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
        nullable("tenth", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        nullable("nan", Arc::new(Float64Array::from(vec![Some(f64::NAN), None]))),
        nullable("amount", Arc::new(decimal.with_precision_and_scale(38, 2).unwrap())),
        nullable("seen", Arc::new(berlin.clone().with_timezone("Europe/Berlin"))),
        nullable("made", Arc::new(berlin)),
        nullable("day", Arc::new(Date32Array::from(vec![Some(20_484), None]))),
        nullable("body", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
        nullable("name", Arc::new(StringArray::from(vec![Some("a \"q\", é\n"), None]))),
        nullable(
            "tags",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None])),
        ),
        nullable("point", Arc::new(point.unwrap())),
    ])
    .unwrap()
}

const DELICATE: &str = r#"{"whole":9007199254740993,"tenth":0.1,"nan":"NaN","amount":123456789012345678901234.50,"seen":"2025-12-31T23:59:59.123Z","made":"2025-12-31T23:59:59.123","day":"2026-01-31","body":"AP8=","name":"a \"q\", é\n","tags":[1,null],"point":{"lat":48.5,"at":"/w=="}}"#;
const NULLS: &str = r#"{"whole":null,"tenth":null,"nan":null,"amount":null,"seen":null,"made":null,"day":null,"body":null,"name":null,"tags":null,"point":null}"#;

fn numbers(values: &[i64]) -> RecordBatch {
    let names: StringArray = values.iter().map(|value| Some(format!("n{value}"))).collect();
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef),
        ("name", Arc::new(names) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn i1_i2_ndjson_keeps_every_digit_and_every_field() {
    assert_eq!(printed_rows(Format::Ndjson, &delicate()), format!("{DELICATE}\n{NULLS}\n"));
}

#[test]
fn i1_i2_json_is_one_array_of_the_same_objects() {
    assert_eq!(printed_rows(Format::Json, &delicate()), format!("[\n{DELICATE},\n{NULLS}\n]\n"));
    let text = rows(Format::Json, &numbers(&[]).schema(), &[numbers(&[1]), numbers(&[2])]);
    assert_eq!(text, "[\n{\"n\":1,\"name\":\"n1\"},\n{\"n\":2,\"name\":\"n2\"}\n]\n");
}

#[test]
fn i2_infinities_are_texts() {
    let values = Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, 5e-324]);
    let batch = RecordBatch::try_from_iter([("x", Arc::new(values) as ArrayRef)]).unwrap();
    let text = printed_rows(Format::Ndjson, &batch);
    assert_eq!(text, "{\"x\":\"Infinity\"}\n{\"x\":\"-Infinity\"}\n{\"x\":-0.0}\n{\"x\":1e+300}\n{\"x\":5e-324}\n");
}

#[test]
fn csv_quotes_and_flattens() {
    let expected = "whole,tenth,nan,amount,seen,made,day,body,name,tags,point\n\
         9007199254740993,0.1,NaN,123456789012345678901234.50,2025-12-31T23:59:59.123Z,2025-12-31T23:59:59.123,\
         2026-01-31,AP8=,\"a \"\"q\"\", é\n\",\"[1,null]\",\"{\"\"lat\"\":48.5,\"\"at\"\":\"\"/w==\"\"}\"\n,,,,,,,,,,\n";
    assert_eq!(printed_rows(Format::Csv, &delicate()), expected);
}

#[test]
fn a_table_lines_up_and_counts() {
    let text = printed_rows(Format::Table, &numbers(&[7, 1200]));
    assert_eq!(text, "|    n | name  |\n|------|-------|\n|    7 | n7    |\n| 1200 | n1200 |\n(2 rows)\n");
    let text = printed_rows(Format::Table, &delicate());
    assert!(text.contains("a \"q\", é\\n") && text.contains("2025-12-31T23:59:59.123Z"), "{text}");
}

#[test]
fn i3_a_long_table_is_cut_and_says_so() {
    let values: Vec<i64> = (0..700).collect();
    let text = rows(Format::Table, &numbers(&[]).schema(), &[numbers(&values), numbers(&values)]);
    assert_eq!(text.lines().count(), 2 + 1_000 + 1);
    assert!(text.ends_with("(1400 rows, the first 1000 shown; -o csv or -o ndjson prints all)\n"));
}

#[test]
fn no_rows_are_a_result_too() {
    let schema = numbers(&[]).schema();
    let cases = [
        (Format::Table, "| n | name |\n|---|------|\n(0 rows)\n"),
        (Format::Json, "[\n]\n"),
        (Format::Ndjson, ""),
        (Format::Csv, "n,name\n"),
    ];
    for (format, text) in cases {
        assert_eq!(rows(format, &schema, &[]), text, "{format:?}");
        assert_eq!(rows(format, &schema, &[numbers(&[])]), text, "{format:?} with an empty batch");
    }
}

#[test]
fn rows_that_would_lose_a_column_are_refused() {
    let field = || Field::new("id", DataType::Int64, false);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field(), field()]));
    for (format, message) in [
        (Format::Json, "two columns of the result are called id"),
        (Format::Ndjson, "two columns of the result are called id"),
        (Format::Yaml, "rows are not printed as yaml"),
    ] {
        assert_eq!(Rows::new(format, &schema, &mut Vec::new()).unwrap_err().message(), message);
    }
    assert!(Rows::new(Format::Csv, &schema, &mut Vec::new()).is_ok());
}

#[derive(Serialize)]
struct Status {
    table: &'static str,
    reason: Option<&'static str>,
    rows: u64,
    partitions: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    partition: i32,
    lag: i64,
}

fn status(table: &'static str, rows: u64) -> Status {
    let partitions = vec![Place { partition: 0, lag: 12 }, Place { partition: 1, lag: 0 }];
    Status { table, reason: None, rows, partitions }
}

fn printed_document(format: Format, value: &impl Serialize) -> String {
    let mut out = Vec::new();
    document(format, value, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_document_keeps_the_order_of_its_fields() {
    let cases = [
        (
            Format::Table,
            "table       bronze.orders\nreason\nrows        5\npartitions\n  | partition | lag |\n  |-----------|-----|\n  \
             |         0 |  12 |\n  |         1 |   0 |\n",
        ),
        (
            Format::Ndjson,
            "{\"table\":\"bronze.orders\",\"reason\":null,\"rows\":5,\"partitions\":[{\"partition\":0,\"lag\":12},\
             {\"partition\":1,\"lag\":0}]}\n",
        ),
        (
            Format::Yaml,
            "table: bronze.orders\nreason: null\nrows: 5\npartitions:\n- partition: 0\n  lag: 12\n- partition: 1\n  lag: 0\n",
        ),
        (
            Format::Csv,
            "table,reason,rows,partitions\nbronze.orders,,5,\"[{\"\"partition\"\":0,\"\"lag\"\":12},{\"\"partition\"\":1,\
             \"\"lag\"\":0}]\"\n",
        ),
    ];
    for (format, text) in cases {
        assert_eq!(printed_document(format, &status("bronze.orders", 5)), text, "{format:?}");
    }
    assert!(printed_document(Format::Json, &status("t", 5)).starts_with("{\n  \"table\": \"t\",\n  \"reason\": null,"));
}

#[test]
fn yaml_does_not_change_what_a_text_is() {
    #[derive(Serialize)]
    struct Texts {
        texts: [&'static str; 5],
        text: &'static str,
    }
    let yaml = printed_document(Format::Yaml, &Texts { texts: ["no", "007", "null", "a: b", "# x"], text: "1e3" });
    for text in ["no", "007", "null", "a: b", "# x", "1e3"] {
        assert!(yaml.contains(&format!("\"{text}\"")) || yaml.contains(&format!("'{text}'")), "{text} in {yaml}");
    }
}

#[test]
fn i1_yaml_keeps_every_digit_and_the_order_of_fields() {
    let json = r#"{"z":9007199254740993,"a":[18446744073709551616,1.5,1e400,true,null],"s":"1","o":{}}"#;
    let record: Box<serde_json::value::RawValue> = serde_json::from_str(json).unwrap();
    let yaml = printed_document(Format::Yaml, &record);
    let lines: Vec<&str> = yaml.lines().map(str::trim).collect();
    let texts = ["z: 9007199254740993", "a:", "- \"18446744073709551616\"", "- 1.5", "- \"1e400\"", "- true", "- null"];
    assert_eq!(lines, [&texts[..], &["s: \"1\"", "o: {}"]].concat());
}

#[test]
fn a_list_shows_the_columns_asked_for() {
    let list = [status("a", 5), status("b", 1234)];
    let printed_list = |format| {
        let mut out = Vec::new();
        documents(format, &list, &["table", "rows"], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(printed_list(Format::Table), "| table | rows |\n|-------|------|\n| a     |    5 |\n| b     | 1234 |\n");
    assert_eq!(printed_list(Format::Ndjson).lines().count(), 2);
    assert_eq!(printed_list(Format::Csv).lines().next(), Some("table,reason,rows,partitions"));
    let json: Vec<serde_json::Value> = serde_json::from_str(&printed_list(Format::Json)).unwrap();
    assert_eq!(json.len(), 2);
}

/// A reader that has gone.
struct Gone(std::io::ErrorKind);

impl std::io::Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn i4_a_closed_reader_is_noticed_through_every_library() {
    use std::io::ErrorKind;
    for format in [Format::Table, Format::Json, Format::Ndjson, Format::Csv] {
        for (kind, closed) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
            let mut out = Stdout::new(Gone(kind));
            let batch = numbers(&[1, 2]);
            let mut rows = Rows::new(format, &batch.schema(), &mut out).unwrap();
            let outcome = rows.write(&batch).and_then(|()| rows.finish());
            assert!(outcome.is_err(), "{format:?}");
            assert_eq!(out.closed(), closed, "{format:?} {kind:?}");
        }
    }
}
