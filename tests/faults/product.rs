//! A data directory, the real binary on it, and what its table must hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::alone::alone;
use crate::python::Engines;

const PARTITIONS: u64 = 2;

/// How long anything may take before a test fails: far more than it needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Product {
    _temporary: Option<TempDir>,
    directory: PathBuf,
    topic: String,
    /// Settings, as variables of the environment.
    settings: BTreeMap<String, String>,
    /// What the topic holds.
    sent: Arc<Mutex<Rows>>,
}

/// A record's, without those that are null.
pub type Fields = Map<String, Value>;

/// Fields by partition and offset.
pub type Rows = BTreeMap<(u64, u64), Fields>;

/// The offset after the last one, by partition.
type Ends = BTreeMap<u64, u64>;

pub const READERS: [&str; 3] = ["tableflow", "pyiceberg", "duckdb"];

/// What a verb left behind.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Done { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Done {
    pub fn good(self, what: &str) -> Self {
        assert!(self.status.success(), "{what}: {}\n{}{}", self.status, self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl Product {
    /// A topic with records, not yet a table.
    pub fn with_topic() -> Self {
        let temporary = TempDir::new().unwrap();
        let directory = temporary.path().join("data");
        Product { _temporary: Some(temporary), ..Product::in_directory(directory) }
    }

    pub fn in_directory(directory: PathBuf) -> Self {
        let product = Product {
            _temporary: None,
            directory,
            topic: "t".to_owned(),
            settings: BTreeMap::new(),
            sent: Arc::default(),
        };
        product.run(&["topic", "create", "t", "--partitions", "2"]).good("topic create");
        product.produce(5).good("produce");
        product
    }

    /// A data directory with nothing in it; the topic is yet to come.
    pub fn without_topic(topic: &str) -> Self {
        Self::with_settings(topic, &[])
    }

    /// A data directory beside a topic of a Kafka cluster, which is there already.
    pub fn on_kafka(servers: &str, topic: &str) -> Self {
        Self::with_settings(topic, &[("TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS", servers)])
    }

    /// The same, on a cluster whose client's settings are in a file.
    pub fn on_kafka_by(properties: &Path, topic: &str) -> Self {
        Self::with_settings(topic, &[("TABLEFLOW__KAFKA__PROPERTIES_FILE", properties.to_str().unwrap())])
    }

    fn with_settings(topic: &str, settings: &[(&str, &str)]) -> Self {
        let temporary = TempDir::new().unwrap();
        let directory = temporary.path().join("data");
        let (topic, none) = (topic.to_owned(), BTreeMap::new());
        let mut product =
            Product { _temporary: Some(temporary), directory, topic, settings: none, sent: Arc::default() };
        for (name, value) in settings {
            product.set(name, value);
        }
        product
    }

    /// Another topic of the cluster, whose table is in the same directory.
    pub fn beside(&self, topic: &str) -> Product {
        Product { topic: topic.to_owned(), sent: Arc::default(), ..self.share() }
    }

    /// A setting by its variable, from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.settings.insert(variable.to_owned(), value.to_owned());
    }

    pub fn ask_registry(&mut self, url: &str) {
        self.set("TABLEFLOW__REGISTRY__URL", url);
    }

    /// And the table, not yet filled.
    pub fn with_table() -> Self {
        let product = Product::with_topic();
        product.enable();
        product
    }

    pub fn enable(&self) {
        self.run(&["enable", &self.topic, "--table", "t", "--commit-interval", "50ms"]).good("enable");
    }

    /// Another handle on the same directory, for another thread.
    pub fn share(&self) -> Product {
        let (directory, topic) = (self.directory.clone(), self.topic.clone());
        Product { _temporary: None, directory, topic, settings: self.settings.clone(), sent: self.sent.clone() }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = alone(env!("CARGO_BIN_EXE_tableflow"));
        command.arg("--data-dir").arg(&self.directory).args(arguments);
        command.env_remove("TABLEFLOW_KILL_AT").env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
        command.envs(&self.settings);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// And the most memory that it was seen to have, in bytes.
    pub fn run_measured(&self, arguments: &[&str]) -> (Done, u64) {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || Done::from(child.wait_with_output().unwrap()));
            let mut peak = 0;
            while !waiting.is_finished() {
                peak = peak.max(peak_bytes(&status).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(10));
            }
            (waiting.join().unwrap(), peak)
        })
    }

    /// A verb that is killed when it passes a point the nth time.
    pub fn run_until(&self, arguments: &[&str], point: &str, nth: u32) -> Done {
        self.command(arguments).env("TABLEFLOW_KILL_AT", format!("{point}:{nth}")).output().unwrap().into()
    }

    /// Sends so many records to both partitions in turn, and notes those that the topic then holds. One producer at a
    /// time: the order of the offsets is the order sent.
    pub fn produce(&self, count: u64) -> Done {
        self.produce_padded(count, 0)
    }

    pub fn produce_padded(&self, count: u64, padding: usize) -> Done {
        self.produce_with(count, &format!(r#""padding":"{}""#, "x".repeat(padding)))
    }

    /// Each with these fields beside its id.
    pub fn produce_with(&self, count: u64, fields: &str) -> Done {
        let mut sent = self.sent.lock().unwrap();
        let before = ends_of(&sent);
        let mut ends = before.clone();
        let first = sent.len() as u64;
        let mut lines = String::new();
        for id in first..first + count {
            let partition = id % PARTITIONS;
            let value = format!(r#"{{"id":{id},{fields}}}"#);
            writeln!(lines, r#"{{"partition":{partition},"value":{value}}}"#).unwrap();
            let end = ends.entry(partition).or_default();
            sent.insert((partition, *end), serde_json::from_str(&value).unwrap());
            *end += 1;
        }
        let mut command = self.command(&["produce", &self.topic, "--envelope", "-o", "json"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A producer that gave up does not read on.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        let done = Done::from(child.wait_with_output().unwrap());
        if !done.status.success() {
            self.note_what_was_sent(&mut sent, &before, &ends, &done);
        }
        done
    }

    /// Records that somebody else sent, with their places.
    pub fn note_sent(&self, rows: impl IntoIterator<Item = ((u64, u64), Fields)>) {
        self.sent.lock().unwrap().extend(rows);
    }

    /// After an error: what was acknowledged must be there, what was not may be.
    fn note_what_was_sent(&self, sent: &mut Rows, before: &Ends, tried: &Ends, done: &Done) {
        let described = self.run(&["topic", "describe", &self.topic, "-o", "json"]).good("describe").json();
        let acknowledged: u64 = match serde_json::from_str::<Value>(&done.stdout) {
            Ok(document) => document["records"].as_u64().unwrap(),
            Err(_) => 0,
        };
        let mut stayed = 0;
        for (partition, tried) in tried {
            let end = described["partitions"][*partition as usize]["end_offset"].as_u64().unwrap();
            let before = before.get(partition).copied().unwrap_or(0);
            assert!((before..=*tried).contains(&end), "{end} is not among the offsets sent");
            stayed += end - before;
            sent.retain(|place, _| place.0 != *partition || place.1 < end);
        }
        assert!(stayed >= acknowledged, "{acknowledged} records were acknowledged, {stayed} stayed");
    }

    /// Something of each record, by its place.
    pub fn sent_by<T>(&self, of: impl Fn(&Fields) -> T) -> BTreeMap<(u64, u64), T> {
        self.sent.lock().unwrap().iter().map(|(place, fields)| (*place, of(fields))).collect()
    }

    pub fn records(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// The table holds exactly what was sent; `replay` says how to get here again.
    pub fn check(&self, replay: &str) {
        self.check_in(&["t"], replay);
    }

    /// The tables together hold it, whoever reads them.
    pub fn check_in(&self, tables: &[&str], replay: &str) {
        let expected = self.sent.lock().unwrap().clone();
        for reader in READERS {
            let replay = format!("{replay}, read by {reader}");
            let mut seen = Rows::new();
            for table in tables {
                self.read(reader, table, &mut seen, &replay);
            }
            let differ = |(place, fields): &(&(u64, u64), &Fields)| seen.get(place) != Some(fields);
            let missing: Vec<_> = expected.iter().filter(differ).take(5).collect();
            let extra: Vec<_> = seen.iter().filter(|(place, _)| !expected.contains_key(place)).take(5).collect();
            let (has, of) = (seen.len(), expected.len());
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{replay}: {has} of {of}, missing or different {missing:?}, extra {extra:?}"
            );
        }
    }

    /// Every row of a table, as a reader sees it.
    pub fn rows_by(&self, reader: &str, table: &str, replay: &str) -> Vec<Fields> {
        println!("{replay}: {table}");
        if reader == READERS[0] {
            let answer = self.run(&["query", &format!("SELECT * FROM {table}"), "-o", "ndjson"]).good(replay);
            return answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        let order = json!({"reader": reader, "table": format!("bronze.{table}")});
        serde_json::from_value(Engines::on(&self.directory).ask("rows", order)).unwrap()
    }

    /// Adds what a reader sees of a table.
    fn read(&self, reader: &str, table: &str, seen: &mut Rows, replay: &str) {
        for mut row in self.rows_by(reader, table, replay) {
            let mut number = |name: &str| row.remove(name).and_then(|value| value.as_u64()).expect(name);
            let place = (number("_tableflow_partition"), number("_tableflow_offset"));
            row.retain(|name, value| !value.is_null() && !name.starts_with("_tableflow_"));
            assert!(seen.insert(place, row).is_none(), "{replay}: {place:?} is twice in the table");
        }
    }

    pub fn sync_and_check(&self, replay: &str) {
        self.run(&["sync"]).good(replay);
        self.check(replay);
    }

    pub fn status(&self) -> Value {
        self.run(&["status", "-o", "json"]).json()[0].clone()
    }

    pub fn up(&self) -> Up {
        self.up_with(&[])
    }

    /// A service with these variables in its environment.
    pub fn up_with(&self, environment: &[(&str, &str)]) -> Up {
        let mut command = self.command(&["up", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(|text| text.parse().unwrap());
        Up { child, address: address.unwrap_or_else(|| panic!("{line:?}, {}", self.log())) }
    }

    /// The manifests that decide the epochs of its tables, each job's in their order.
    pub fn manifests(&self) -> Vec<PathBuf> {
        let listed = |directory: PathBuf| {
            let entries = std::fs::read_dir(directory).into_iter().flatten();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let jobs = listed(self.directory.join("state/jobs"));
        let mut found: Vec<_> = jobs.into_iter().flat_map(|job| listed(job.join("epochs"))).collect();
        found.sort();
        found
    }

    /// Beside the data directory, on the same disk.
    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

/// A running service; killed when forgotten.
#[derive(Debug)]
pub struct Up {
    child: Child,
    address: SocketAddr,
}

impl Up {
    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success(), "kill -s {name}");
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The most memory that it had so far, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        peak_bytes(&format!("/proc/{}/status", self.child.id())).unwrap()
    }

    /// How many sockets it has open.
    pub fn sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// Where the embedded schema registry answers.
    pub fn registry(&self) -> String {
        format!("http://{}/registry", self.address)
    }

    /// What HTTP answers: the status line's code, and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path)
    }

    pub fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A request that never ends.
    pub fn half_a_request(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost:").unwrap();
        stream
    }

    /// A metric of the one table, or of the whole service.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, answer) = self.get("/metrics");
        let value = |line: &str| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse().ok();
        answer.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {answer}"))
    }

    /// A metric of each table that has it, by the labels.
    pub fn metrics(&self, name: &str) -> BTreeMap<String, f64> {
        let (_, answer) = self.get("/metrics");
        let value = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
            Some((labels.to_owned(), value.parse().ok()?))
        };
        answer.lines().filter_map(value).collect()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(mut self) -> ExitStatus {
        wait_until("the service ends", || !self.is_running());
        self.child.wait().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Linux says of a process.
fn peak_bytes(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn ends_of(rows: &Rows) -> Ends {
    rows.keys().map(|(partition, offset)| (*partition, offset + 1)).collect()
}

pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
