//! Files of a table that are not what they were: no verb takes them for good ones, no record is lost, and once they are back
//! so is every row.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::changes::Changes;
use crate::days::files_below;
use crate::upserts::check;
use crate::world::World;

/// What a damaged file may cost; the bomb would unpack to four times as much.
const PEAK_BYTES_MAX: u64 = 512 << 20;

/// A file of the table, as it is to be.
type Damage = fn(&[u8]) -> Vec<u8>;

/// Which files, by how their names end, and what is done to them.
const DAMAGES: [(&str, &str, Damage); 16] = [
    ("metadata.json", "cut in half", half),
    ("metadata.json", "a bomb", bomb),
    ("metadata.json", "of a version to come", |bytes| replaced(bytes, "\"format-version\":3", "\"format-version\":9")),
    ("metadata.json", "no JSON", |_| b"{".to_vec()),
    ("snap.avro", "cut in half", half),
    ("snap.avro", "zeros", zeros),
    ("manifest.avro", "cut in half", half),
    ("manifest.avro", "zeros", zeros),
    ("manifest.avro", "empty", |_| Vec::new()),
    (".parquet", "cut in half", half),
    (".parquet", "zeros", zeros),
    (".parquet", "a footer longer than the file", |bytes| with_end(bytes, u32::MAX)),
    (".parquet", "a footer that is too short", |bytes| with_end(bytes, 7)),
    (".puffin", "cut in half", half),
    (".puffin", "zeros", zeros),
    (".puffin", "one bit of a vector", |bytes| flipped(bytes, 20)),
];

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn zeros(bytes: &[u8]) -> Vec<u8> {
    vec![0; bytes.len()]
}

/// A small file that is 2 GiB of spaces once it is unpacked.
fn bomb(_: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    (0..2048).for_each(|_| packed.write_all(&spaces).unwrap());
    packed.finish().unwrap()
}

fn replaced(packed: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
    assert!(text.contains(from), "{text}");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.replace(from, to).as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// A Parquet file that says its footer is that long.
fn with_end(bytes: &[u8], length: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() - 8;
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

/// All files that the current snapshot needs and whose names end so; of metadata the newest alone.
fn files(world: &World, kind: &str) -> Vec<PathBuf> {
    if kind == "metadata.json" {
        let location = world.status("t")["metadata_location"].as_str().unwrap().to_owned();
        return vec![PathBuf::from(location.trim_start_matches("file://"))];
    }
    let of_kind = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let is_list = name.starts_with("snap-");
        match kind {
            "snap.avro" => is_list,
            "manifest.avro" => name.ends_with(".avro") && !is_list,
            ending => name.ends_with(ending),
        }
    };
    let files: Vec<PathBuf> = files_below(&world.data_dir().join("warehouse")).into_iter().filter(of_kind).collect();
    assert!(!files.is_empty(), "{kind}");
    files
}

/// Neither a panic nor a word that only its author understands.
fn is_said(world: &World, words: &[&str], what: &str) -> bool {
    let (outcome, peak) = world.run_measured(words);
    let said = format!("{what}, {words:?}: {} {}", outcome.stdout, outcome.stderr);
    assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("internal error"), "{said}");
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes: {said}");
    assert!(outcome.code == 0 || (outcome.code < 100 && outcome.stderr.contains("error:")), "{said}");
    outcome.code != 0
}

fn with_damage(world: &World, producer: &mut Changes, (kind, what, damage): (&str, &str, Damage)) {
    let before: Vec<(PathBuf, Vec<u8>)> =
        files(world, kind).into_iter().map(|file| (file.clone(), fs::read(&file).unwrap())).collect();
    before.iter().for_each(|(file, bytes)| fs::write(file, damage(bytes)).unwrap());
    let what = format!("{kind}: {what}");
    assert!(is_said(world, &["query", "select sum(v), max(s) from t"], &what), "{what} was read");
    for words in [&["compact", "t"][..], &["maintain", "t"], &["vacuum", "t"], &["rewrite-manifests", "t"]] {
        is_said(world, words, &what);
    }
    // Whether it is taken or not: none of its changes is lost.
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 10));
    is_said(world, &["sync", "t"], &what);
    is_said(world, &["status", "t"], &what);
    let is_there = |(file, _): &(PathBuf, Vec<u8>)| Path::new(file).exists();
    assert!(before.iter().all(is_there), "{what}: a file was deleted");
    before.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    world.run(&["resume", "t"]);
    world.ok(&["sync", "t"]);
    check(world, "t", &producer.expected);
}

#[test]
fn bad_inputs_62_to_65_a_damaged_file_is_an_error_and_nothing_is_lost() {
    let world = World::new();
    let mut producer = Changes::by_lot(62);
    world.topic("t", 1);
    world.produce_envelopes("t", &producer.lines(|id| json!(id), 40));
    world.ok(&["enable", "t", "--key", "id", "--delete-encoding", "dv"]);
    for damage in DAMAGES {
        world.produce_envelopes("t", &producer.lines(|id| json!(id), 40));
        world.ok(&["sync"]);
        with_damage(&world, &mut producer, damage);
    }
}

/// Whoever may change the catalog may not have us read the machine's files.
#[test]
fn bad_input_63_files_outside_of_the_data_directory_are_not_read() {
    let world = World::new();
    world.topic("t", 1);
    world.ok(&["enable", "t"]);
    let outside = world.data_dir().with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    let folder = outside.display().to_string();
    let round = format!("{}/../outside", world.data_dir().display());
    let tables = [("bronze.direct", &folder, "lies outside of"), ("bronze.round", &round, "could leave the directory")];
    for (table, folder, why) in tables {
        let order = json!({"table": table, "files": [[{"n": 1}], [{"n": 2}]], "mapped": true, "folder": folder});
        assert_eq!(world.engines().ask("take_in", order), Value::Null);
        for words in [&["query", &format!("select n from {table}")][..], &["compact", table], &["changes", table]] {
            world.run(words).failed(2, &[why]);
        }
    }
}
