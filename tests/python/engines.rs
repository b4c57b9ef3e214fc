//! Other houses' engines, PyIceberg and DuckDB, on a data directory, and their client of Kafka.
//!
//! Owns the Python process that runs them: one for all tests, driven line by line, so that it starts once. It ends
//! with the tests, when its input does.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::alone::alone;

static PROCESS: Mutex<Option<Process>> = Mutex::new(None);

#[derive(Debug)]
struct Process {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    #[expect(clippy::zombie_processes, reason = "it ends after the tests, and nobody is left to wait")]
    fn start() -> Self {
        let python = std::env::var("TABLEFLOW_PYTHON")
            .expect("TABLEFLOW_PYTHON names the Python with PyIceberg; see `make test`");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/engines.py");
        let mut child =
            alone(python).args(["-B", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Process { stdin: child.stdin.take().unwrap(), stdout: BufReader::new(child.stdout.take().unwrap()) }
    }

    fn ask(&mut self, order: &Value) -> Value {
        writeln!(self.stdin, "{order}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

#[derive(Debug)]
pub struct Engines {
    data_dir: String,
}

impl Engines {
    pub fn on(data_dir: &Path) -> Self {
        Engines { data_dir: data_dir.to_str().unwrap().to_owned() }
    }

    /// One order of `engines.py`, and its answer.
    #[track_caller]
    pub fn ask(&self, verb: &str, mut order: Value) -> Value {
        order["do"] = json!(verb);
        order["data_dir"] = json!(self.data_dir);
        let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = process.get_or_insert_with(Process::start).ask(&order);
        drop(process);
        assert!(answer["error"].is_null(), "{verb}: {}", answer["error"].as_str().unwrap_or_default());
        answer["answer"].take()
    }
}
