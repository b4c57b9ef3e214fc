use bytes::{BufMut, BytesMut};
use tableflow_connectors::decode::Reason;
use tableflow_model::Span;

use super::*;

/// Keys and values.
fn records(pairs: &[(&str, &str)]) -> Records {
    let mut buffer = BytesMut::new();
    let mut span = |text: &str| {
        let start = u32::try_from(buffer.len()).unwrap();
        buffer.put_slice(text.as_bytes());
        Span::new(start, u32::try_from(text.len()).unwrap())
    };
    let (keys, values) = pairs.iter().map(|(key, value)| (span(key), span(value))).unzip();
    Records {
        offsets: (0..pairs.len() as i64).collect(),
        timestamps: vec![0; pairs.len()],
        header_ends: vec![0; pairs.len()],
        keys,
        values,
        buffer: buffer.freeze(),
        ..Records::default()
    }
}

async fn decoding(home: &Home, keys: &definition::Keys, table: &Schema) -> Decoding {
    let terms = Terms {
        subjects: Subjects::none(),
        format: Format::Json,
        envelope: None,
        columns: "",
        keys: Some(KeyTerms { subjects: Subjects::none(), keys }),
        metadata_columns: MetadataColumns::None,
        evolution: Evolution::Additive,
        mirror: None,
        tells_origins: false,
    };
    Decoding::new(home, terms, table, &ColumnRules::default()).await.unwrap()
}

/// The columns of the rows, and why records were passed over.
async fn decoded(decoding: &mut Decoding, pairs: &[(&str, &str)]) -> (Vec<String>, Vec<Reason>) {
    let parts = decoding.decode(&records(pairs), BadRecords::PassOver).await.unwrap();
    let [part] = &parts[..] else { panic!("{parts:?}") };
    let names = part.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    (names, part.passed_over.iter().map(|failure| failure.reason).collect())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn whoever_has_a_name_first_keeps_it_in_this_process_and_in_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(directory.path()).await.unwrap();
    let mut keys = definition::Keys::new(Format::Json, String::new());
    let mut first = decoding(&home, &keys, &Schema::empty()).await;
    let both = [(r#"{"id":"k","a":1}"#, r#"{"ID":7,"b":2}"#)];
    assert_eq!(decoded(&mut first, &both).await, (names(&["ID", "b", "a"]), vec![]));
    let later = [(r#"{"a":2,"b":[1]}"#, r#"{"b":3,"A":4}"#), (r#"{"a":3}"#, r#"{"b":5,"c":6}"#)];
    assert_eq!(decoded(&mut first, &later).await, (names(&["ID", "b", "c", "a"]), vec![Reason::KeyColumn]));
    let found = first.keys_to_keep().unwrap();
    assert_eq!((&found.own, found.hidden.as_str()), (&names(&["a"]), "id STRING"));
    first.keys_are_kept();
    assert_eq!(first.keys_to_keep(), None);
    // One that keys bring later, and values after that.
    assert_eq!(decoded(&mut first, &[(r#"{"n":1}"#, r#"{"b":1}"#)]).await.0, names(&["ID", "b", "c", "a", "n"]));
    assert_eq!(decoded(&mut first, &[(r#"{"n":1}"#, r#"{"n":1}"#)]).await.1, [Reason::KeyColumn]);
    keys.grow(&first.keys_to_keep().unwrap());

    let table = Schema::new(first.schema().fields().clone());
    let mut next = decoding(&home, &keys, &table).await;
    assert_eq!(decoded(&mut next, &[(r#"{"n":2}"#, r#"{"n":1}"#)]).await.1, [Reason::KeyColumn]);
    // A hidden field may be anything by now.
    let odd = [(r#"{"id":0.5,"n":1}"#, r#"{"ID":8}"#)];
    assert_eq!(decoded(&mut next, &odd).await, (names(&["ID", "b", "c", "a", "n"]), vec![]));
    assert_eq!(next.keys_to_keep(), None);
    assert_eq!(next.notes().iter().map(|note| note.path.as_str()).collect::<Vec<_>>(), ["id"]);
}
