//! A real Kafka broker of the tests' own.
//!
//! Owns [`Broker`].
//! - I1: it listens on loopback, on ports that were free, and keeps its data in a directory of its own.
//! - I2: it ends with whoever started it, however that ends: a shell waits for the end of its own input, and then ends the
//!   broker by its process id.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tempfile::TempDir;

use crate::product::PATIENCE;

/// Prints the broker's process id, and waits.
const UNTIL_INPUT_ENDS: &str = "\"$@\" < /dev/null & echo $!; cat > /dev/null; kill -9 $!";

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// What every test that needs no broker of its own uses.
static SHARED: OnceLock<Broker> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
pub struct Broker {
    directory: TempDir,
    port: u16,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    process: String,
}

impl Broker {
    /// The one that tests share: topics have names of their own.
    pub fn shared() -> &'static Broker {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        SHARED.get_or_init(Broker::start)
    }

    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let [port, controller] = free_ports();
        std::fs::write(directory.path().join("server.properties"), settings(directory.path(), port, controller))
            .unwrap();
        let broker = Broker { directory, port, running: Mutex::new(None) };
        let format =
            ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "--standalone", "-c", &broker.settings_path()];
        let formatted = Command::new("java").args(java("128m")).args(format).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        broker.start_again();
        broker
    }

    pub fn start_again(&self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh", "java"]).args(java("512m"));
        command.args(["kafka.Kafka", &self.settings_path()]);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut process = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut process).unwrap();
        *self.running.lock().unwrap() = Some(Running { shell, process: process.trim().to_owned() });
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "the broker does not answer: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut running) = self.running.lock().unwrap().take() {
            let killed = Command::new("kill").args(["-9", &running.process]).status().unwrap();
            assert!(killed.success());
            let _ = running.shell.kill();
            let _ = running.shell.wait();
        }
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn settings_path(&self) -> String {
        self.directory.path().join("server.properties").to_str().unwrap().to_owned()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.directory.path().join("server.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What `java` takes before the name of a class of the broker.
fn java(memory: &str) -> [String; 6] {
    let jars = std::env::var("TABLEFLOW_KAFKA").expect(
        "TABLEFLOW_KAFKA names the folder of a Kafka broker's jars: `scripts/kafka` fetches them, see `make test`",
    );
    let quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN"].map(str::to_owned);
    let [compiler, collector, level] = quick;
    [format!("-Xmx{memory}"), compiler, collector, level, "-cp".to_owned(), format!("{jars}/*")]
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// One node, small, and quick to clean and to expire.
fn settings(directory: &Path, port: u16, controller: u16) -> String {
    let data = directory.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.backoff.ms=200
",
        data.display()
    )
}
