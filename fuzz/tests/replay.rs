//! Everything that fuzzing has found so far, and its seeds, once more through the same functions.
//!
//! - I1: every target has a corpus, and every corpus a target.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use tableflow_fuzz::TARGETS;

/// An input takes microseconds; a machine under load, and code that is not optimised, some more.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
/// What the process may have at its peak: an input is a few kilobytes.
const MEMORY_MAX_KIB: u64 = 512 * 1024;

fn inputs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_input_of_the_corpora_breaks_no_law() {
    for (name, body) in TARGETS {
        let inputs = inputs(&corpus().join(name)).unwrap();
        assert!(inputs.len() > 3, "{name}");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            let begun = Instant::now();
            let run = std::panic::catch_unwind(|| body(&input));
            assert!(run.is_ok(), "{}", path.display());
            assert!(begun.elapsed() < INPUT_TIME_MAX, "{} took {:?}", path.display(), begun.elapsed());
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB at the peak");
}

#[test]
fn i1_every_corpus_has_a_target() {
    for folder in inputs(&corpus()).unwrap() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(tableflow_fuzz::body(name).is_some(), "{name}");
    }
}
