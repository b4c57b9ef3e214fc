//! Inference, and how the schema grows.

use super::*;

#[test]
fn i1_types_come_from_the_values() {
    let cases = [
        (
            r#"{"a":1,"b":1.5,"c":true,"d":"2026-11-21T00:00:00Z","e":{"f":[1]},"g":null,"h":{},"i":[]}"#,
            "a BIGINT, b DOUBLE, c BOOLEAN, d STRING, e ROW<f ARRAY<BIGINT>>",
        ),
        ("{\"a\":1}\n{\"a\":1.5}\n{\"a\":2}", "a DOUBLE"),
        ("{\"a\":1.5}\n{\"a\":1}", "a DOUBLE"),
        ("{\"a\":null}\n{\"a\":[]}\n{\"a\":[null]}\n{\"a\":[1]}\n{\"a\":[0.5]}", "a ARRAY<DOUBLE>"),
        ("{\"b\":1}\n{\"a\":1}", "b BIGINT, a BIGINT"),
        (
            "{\"a\":[{\"x\":1},{\"y\":2}]}\n{\"a\":[{\"x\":1.5,\"z\":true}]}",
            "a ARRAY<ROW<x DOUBLE, y BIGINT, z BOOLEAN>>",
        ),
        ("{\"a\":{\"x\":1}}\n{\"a\":{\"y\":\"t\"}}\n{\"a\":{\"y\":\"t\",\"x\":2}}", "a ROW<x BIGINT, y STRING>"),
        (r#"{"Ünï cödé":1,"1st":2}"#, "`Ünï cödé` BIGINT, `1st` BIGINT"),
        ("{}", ""),
    ];
    for (text, expected) in cases {
        let mut decoder = decoder("");
        let decoded = decoder.decode(&lines(text));
        assert_eq!(decoded.failure, None, "{text}");
        assert_eq!(columns(&decoder), expected, "{text}");
        assert_eq!(decoded.batch.schema(), decoder.schema());
        assert_eq!(decoded.batch.num_rows(), text.lines().count());
    }
}

#[test]
fn columns_that_appear_late_are_null_before() {
    let mut decoder = decoder("");
    let text =
        "{\"a\":1}\n{\"a\":2,\"n\":{\"x\":1}}\n{\"n\":{\"y\":\"t\"}}\n{\"l\":[{\"p\":1}]}\n{\"l\":[{},{\"q\":2}]}";
    let expected = [
        "1 | - | -",
        "2 | {x: 1, y: -} | -",
        "- | {x: -, y: \"t\"} | -",
        "- | - | [{p: 1, q: -}]",
        "- | - | [{p: -, q: -}, {p: -, q: 2}]",
    ];
    assert_eq!(rows(&mut decoder, text), expected);
    assert_eq!(decoder.schema_version(), 5);
    assert_eq!(rows(&mut decoder, "{\"z\":0}"), ["- | - | - | 0"]);
    assert_eq!(decoder.schema_version(), 6);
    assert_eq!(columns(&decoder), "a BIGINT, n ROW<x BIGINT, y STRING>, l ARRAY<ROW<p BIGINT, q BIGINT>>, z BIGINT");
}

#[test]
fn i2_the_first_type_wins_and_the_record_that_disagrees_fails() {
    let mut decoder = decoder("");
    let decoded = decoder.decode(&lines("{\"a\":1}\n{\"a\":\"x\",\"b\":1}\n{\"a\":2.5}"));
    // The fraction is foreseen beyond the failing record: what follows it is in the same batch.
    assert_eq!(shown(&decoded.batch), ["1.0"]);
    let failure = decoded.failure.unwrap();
    assert_eq!((failure.row, failure.reason, failure.path.as_str()), (1, Reason::TypeMismatch, "$.a"));
    assert_eq!(columns(&decoder), "a DOUBLE");
}

#[test]
fn i4_a_failing_record_leaves_no_trace_at_any_depth() {
    let good = r#"{"a":1,"t":"x","r":{"p":1,"l":[1,2]},"m":{"k":1},"o":[{"s":"u"}],"d":1.5,"y":"AAEC"}"#;
    let declared = "a BIGINT, t STRING, r ROW<p BIGINT, l ARRAY<BIGINT>>, m MAP<STRING, BIGINT>, \
                    o ARRAY<ROW<s STRING>>, d DECIMAL(5, 2), y BYTES";
    let bad = [
        r#"{"a":2,"t":"zz","r":{"p":2,"l":[3,"#,
        r#"{"a":2,"t":"zz","r":{"p":2,"l":[3,"x"]}}"#,
        r#"{"m":{"k":2,"j":"x"}}"#,
        r#"{"o":[{"s":"v"},{"s":"w","new":1},7]}"#,
        r#"{"new":1,"r":{"new":{"deep":[1]}},"o":[{"new":1}],"y":"AAE!"}"#,
        r#"{"d":1.25,"a":1.5}"#,
        r#"{"a":5} {"#,
    ];
    let expected = rows(&mut decoder(declared), good);
    for bad in bad {
        let mut decoder = decoder(declared);
        let before = columns(&decoder);
        let batch = lines(&format!("{good}\n{bad}\n{good}\n{good}"));
        let decoded = decoder.decode(&batch);
        assert_eq!((decoded.taken.len(), decoded.failure.map(|failure| failure.row)), (1, Some(1)), "{bad}");
        assert_eq!(shown(&decoded.batch), expected, "{bad}");
        assert_eq!((columns(&decoder), decoder.schema_version()), (before, 0), "{bad}");
        let decoded = decoder.decode_from(&batch, 2, BadRecords::Stop);
        assert_eq!((decoded.taken.len(), decoded.failure), (2, None), "{bad}");
        assert_eq!(shown(&decoded.batch), [expected[0].clone(), expected[0].clone()], "{bad}");
    }
}

#[test]
fn i3_rows_do_not_depend_on_where_batches_are_cut() {
    let texts: Vec<String> = (0..60)
        .map(|n| match n % 5 {
            0 => format!(r#"{{"id":{n},"name":"n{n}"}}"#),
            1 => format!(r#"{{"id":{n},"extra":{{"k{}":{n}}}}}"#, n % 3),
            2 => format!(r#"{{"tags":["a",null],"id":{n},"none":null}}"#),
            3 => format!(r#"{{"id":-0,"x{}":true}}"#, n % 7),
            _ => "{}".to_owned(),
        })
        .collect();
    let all = texts.join("\n");
    let mut whole = decoder("id BIGINT NOT NULL");
    assert_eq!(whole.decode(&lines("{}")).failure.unwrap().reason, Reason::MissingValue);
    let mut whole = decoder("");
    let expected = rows(&mut whole, &all);
    for size in [1, 2, 7, 59] {
        let mut cut = decoder("");
        // The schema is learned first, so that every batch shows all columns.
        rows(&mut cut, &all);
        assert_eq!(columns(&cut), columns(&whole));
        let parts: Vec<String> = texts.chunks(size).flat_map(|part| rows(&mut cut, &part.join("\n"))).collect();
        assert_eq!(parts, expected, "batches of {size}");
        // And learned batch by batch it is the same schema.
        let mut learning = decoder("");
        texts.chunks(size).for_each(|part| drop(rows(&mut learning, &part.join("\n"))));
        assert_eq!(columns(&learning), columns(&whole), "batches of {size}");
    }
}

#[test]
fn a_large_batch_is_decoded_whole() {
    let count = 100_000;
    let texts: Vec<_> = (0..count)
        .map(|n: i64| {
            Some(if n % 10 == 0 {
                format!(r#"{{"n":{n}}}"#)
            } else {
                format!(r#"{{"t":"t{n}","n":{n},"h":{}.5}}"#, n % 100)
            })
        })
        .collect();
    let mut decoder = decoder("");
    let decoded = decoder.decode(&records(&texts));
    assert_eq!((decoded.taken.len(), decoded.failure), (count as usize, None));
    let numbers = decoded.batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(numbers.iter().flatten().sum::<i64>(), count * (count - 1) / 2);
    let texts = decoded.batch.column(1).as_string::<i32>();
    assert_eq!(texts.null_count(), 10_000);
    assert_eq!((texts.is_null(99_990), texts.value(99_999)), (true, "t99999"));
    let halves = decoded.batch.column(2).as_primitive::<Float64Type>();
    // Of each hundred, the tens are null: 4950 - 450 whole, and 90 halves.
    assert_eq!(halves.iter().flatten().sum::<f64>(), 1000.0 * (4500.0 + 45.0));
}

#[test]
fn wide_and_deep_records_work() {
    let wide: Vec<String> = (0..500).map(|n| format!("\"c{n}\":{n}")).collect();
    let mut decoder = decoder("");
    let text = format!("{{{}}}\n{{\"c499\":1}}", wide.join(","));
    let shown = rows(&mut decoder, &text);
    assert_eq!(decoder.schema().fields().len(), 500);
    assert!(shown[0].starts_with("0 | 1 | 2 |") && shown[1].ends_with("- | - | 1"), "{shown:?}");

    let deep = format!("{}1{}", "{\"n\":".repeat(20), "}".repeat(20));
    let shown = rows(&mut self::decoder(""), &deep);
    assert_eq!(shown, [format!("{}1{}", "{n: ".repeat(19), "}".repeat(19))]);

    let shuffled: Vec<String> = (0..500).rev().map(|n| format!("\"c{n}\":{n}")).collect();
    let again = rows(&mut decoder, &format!("{{{}}}", shuffled.join(",")));
    assert_eq!(again[0].split(" | ").nth(123), Some("123"));
}

#[test]
fn ten_thousand_keys_that_tell_nothing_or_are_a_declared_map() {
    let keys = |value: &str| (0..10_000).map(|n| format!("\"k{n}\":{value}")).collect::<Vec<_>>().join(",");
    let mut silent = decoder("");
    assert_eq!(rows(&mut silent, &format!("{{{},\"a\":1}}", keys("null"))), ["1"]);
    let mut map = decoder("m MAP<STRING, BIGINT>");
    let decoded = map.decode(&lines(&format!("{{\"m\":{{{}}}}}", keys("7"))));
    assert_eq!(decoded.failure, None);
    assert_eq!(decoded.batch.column(0).as_map().value_length(0), 10_000);
}

#[test]
fn a_table_and_a_declaration_come_together() {
    let fields = |text: &str| parse_columns(text).unwrap();
    let table = Schema::new(fields("id BIGINT, note STRING, r ROW<a STRING, b STRING>, _tableflow_offset BIGINT"));
    let mut decoder = JsonDecoder::new(&fields("note STRING, r ROW<b STRING, c INT>, ts DATE"), &table).unwrap();
    assert_eq!(columns(&decoder), "id BIGINT, note STRING, r ROW<a STRING, b STRING, c INT>, ts DATE");
    assert_eq!(rows(&mut decoder, r#"{"note":1,"r":{"b":2,"c":3}}"#), [r#"- | "1" | {a: -, b: "2", c: 3} | -"#]);
    assert_eq!(failure(&mut decoder, r#"{"r":{"a":1}}"#).reason, Reason::TypeMismatch);

    let cases = [
        ("id INT", "column id is declared INT, but the table has BIGINT"),
        ("ID BIGINT", "column ID differs only by case from id"),
        ("_tableflow_x INT", "column _tableflow_x cannot be declared"),
        ("new INT NOT NULL", "column new cannot be added as NOT NULL"),
        ("m MAP<INT, INT>", "JSON cannot fill the column m MAP<INT, INT>"),
        ("note INT", "column note is declared INT, but the table has STRING"),
    ];
    for (declared, message) in cases {
        let error = JsonDecoder::new(&fields(declared), &table).unwrap_err();
        assert_eq!(error.message(), message);
        assert!(error.hint().is_some(), "{message}");
    }
}
