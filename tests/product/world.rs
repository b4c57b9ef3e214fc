//! A data directory of its own, and everything that acts on it.
//!
//! Owns [`World`] (the directory, verbs of the binary) and [`Service`] (a running `up`).
//! - I1: whatever was started is ended when the test is, however it ends: by its process id.
//! - I2: nothing waits longer than [`PATIENCE`]; what is waited for is asked again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::python::Engines;

/// Far above what anything takes here, so that a loaded machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a verb ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The exit code, and all of these words on stderr.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said: {}", self.stderr);
        }
    }
}

#[derive(Debug)]
pub struct World {
    directory: TempDir,
}

impl World {
    pub fn new() -> Self {
        World { directory: tempfile::tempdir().unwrap() }
    }

    /// One with a topic of one partition, these lines in it, and its table in step.
    #[track_caller]
    pub fn with_table(topic: &str, lines: &str) -> Self {
        let world = World::new();
        world.topic(topic, 1);
        world.produce(topic, lines);
        world.ok(&["enable", topic]);
        world.ok(&["sync"]);
        world
    }

    /// The same with a topic `t`, lines of `--envelope`, and a table that is asked for so.
    #[track_caller]
    pub fn with_envelopes(lines: &str, asked: &[&str]) -> Self {
        let world = World::new();
        world.topic("t", 1);
        world.produce_envelopes("t", lines);
        world.ok(&[&["enable", "t"], asked].concat());
        world.ok(&["sync"]);
        world
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A file beside the data directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tableflow"));
        command.arg("--data-dir").arg(self.data_dir()).args(words);
        // Neither the settings of the machine nor those of the person who runs the tests count.
        command.env_clear().env("HOME", self.directory.path()).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, words: &[&str]) -> Outcome {
        outcome(self.command(words).output().unwrap())
    }

    /// How the verb ended, and the most memory it was seen to have.
    pub fn run_measured(&self, words: &[&str]) -> (Outcome, u64) {
        let child = self.command(words).spawn().unwrap();
        let process = child.id();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || outcome(child.wait_with_output().unwrap()));
            let mut peak = 0;
            while !waiting.is_finished() {
                peak = peak.max(peak_bytes(process).unwrap_or(0));
                sleep(LOOK_EVERY);
            }
            (waiting.join().unwrap(), peak)
        })
    }

    pub fn run_with_input(&self, words: &[&str], input: &[u8]) -> Outcome {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A verb that refuses early reads no further: then the pipe breaks, and its outcome says why.
            scope.spawn(move || stdin.write_all(input));
            outcome(child.wait_with_output().unwrap())
        })
    }

    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).succeeded()
    }

    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let stdout = self.ok(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    #[track_caller]
    pub fn topic(&self, name: &str, partitions: u32) {
        self.ok(&["topic", "create", name, "--partitions", &partitions.to_string()]);
    }

    /// Lines, each a JSON value, without keys.
    #[track_caller]
    pub fn produce(&self, topic: &str, lines: &str) {
        self.run_with_input(&["produce", topic], lines.as_bytes()).succeeded();
    }

    /// Lines of `--envelope`.
    #[track_caller]
    pub fn produce_envelopes(&self, topic: &str, lines: &str) {
        self.run_with_input(&["produce", topic, "--envelope"], lines.as_bytes()).succeeded();
    }

    /// Lines that are whatever they are, to partition 0 of a topic with one partition.
    #[track_caller]
    pub fn produce_raw(&self, topic: &str, lines: &[u8]) {
        self.run_with_input(&["produce", topic, "--format", "raw"], lines).succeeded();
    }

    /// The result of a query, a JSON object a row.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        let stdout = self.ok(&["query", sql, "-o", "ndjson"]);
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The first column of every row, as CSV text.
    #[track_caller]
    pub fn column(&self, sql: &str) -> Vec<String> {
        self.ok(&["query", sql, "-o", "csv"]).lines().skip(1).map(str::to_owned).collect()
    }

    /// Whole numbers of one column.
    #[track_caller]
    pub fn numbers(&self, sql: &str) -> Vec<i64> {
        self.column(sql).iter().map(|text| text.parse().unwrap_or_else(|_| panic!("{text} is no number"))).collect()
    }

    #[track_caller]
    pub fn status(&self, table: &str) -> Value {
        self.json(&["status", table])
    }

    /// Waits for a status field to have a value (I2).
    #[track_caller]
    pub fn wait_for_status(&self, table: &str, field: &str, wanted: impl Into<Value>) -> Value {
        let wanted = wanted.into();
        wait_for(|| self.status(table), |status| status[field] == wanted)
    }

    /// Starts the service and waits until it says where it listens.
    pub fn up(&self) -> Service {
        self.up_with(&[])
    }

    /// With these variables of its environment.
    pub fn up_with(&self, settings: &[(&str, &str)]) -> Service {
        let mut command = self.command(&["up", "--listen", "127.0.0.1:0"]);
        let mut child = command.envs(settings.iter().copied()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(|text| text.parse().unwrap());
        let Some(address) = address else {
            panic!("up said {line:?}, then {:?}", child.wait_with_output());
        };
        Service { child: Some(child), address }
    }

    pub fn engines(&self) -> Engines {
        Engines::on(&self.data_dir())
    }
}

pub fn outcome(output: std::process::Output) -> Outcome {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    // A signal leaves no code.
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// As Linux tells it; a process that ended has none.
fn peak_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024)
}

/// Asks until the answer is good, and returns it (I2).
#[track_caller]
pub fn wait_for<T: std::fmt::Debug>(ask: impl Fn() -> T, good: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if good(&answer) {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain; the last answer: {answer:?}");
        sleep(LOOK_EVERY);
    }
}

/// A running `up`.
#[derive(Debug)]
pub struct Service {
    child: Option<Child>,
    address: SocketAddr,
}

impl Service {
    pub fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The most memory that the process ever had.
    #[track_caller]
    pub fn peak_bytes(&self) -> u64 {
        peak_bytes(self.process()).expect("Linux tells it, of a process that runs")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The status line's code, and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Says SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
