//! Days that pass for the files of a data directory, without anybody waiting.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

const DAY_AND_MORE: Duration = Duration::from_secs(25 * 60 * 60);

/// None where there is no such folder. A running service may take files away meanwhile.
pub fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { [path].into() }).collect()
}

/// Of what there is everything becomes older, and so does what is noted about it.
#[expect(clippy::disallowed_methods, reason = "files are dated by the machine's clock")]
pub fn a_day_passes(data_dir: &Path) {
    let long_ago = SystemTime::now() - DAY_AND_MORE;
    for file in files_below(&data_dir.join("warehouse")) {
        if let Ok(file) = fs::File::options().write(true).open(&file) {
            file.set_modified(long_ago).unwrap();
        }
    }
    for note in files_below(&data_dir.join("state/unneeded")) {
        let mut found: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
        for seen in found["objects"].as_object_mut().unwrap().values_mut() {
            seen["at"] = json!(seen["at"].as_i64().unwrap() - i64::try_from(DAY_AND_MORE.as_millis()).unwrap());
        }
        fs::write(&note, found.to_string()).unwrap();
    }
}
