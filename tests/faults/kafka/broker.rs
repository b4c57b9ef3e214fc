//! A real Kafka broker of the tests' own.
//!
//! Owns [`Broker`].
//! - I1: it listens on loopback, on ports that were free, and keeps its data in a directory of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use super::server::{Server, free_ports, java_options};

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// The listener that is reached by another port.
pub const WAY: &str = "WAY";

/// What every test that needs no broker of its own uses.
static SHARED: OnceLock<Broker> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
pub struct Broker {
    directory: TempDir,
    port: u16,
    /// Of further listeners, by name.
    ports: BTreeMap<&'static str, u16>,
    running: Mutex<Option<Server>>,
}

impl Broker {
    /// The one that tests share: topics have names of their own.
    pub fn shared() -> &'static Broker {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        SHARED.get_or_init(Broker::start)
    }

    pub fn start() -> Self {
        Self::start_with(TempDir::new().unwrap(), &[], "", &[])
    }

    /// One with further listeners, each named as its protocol is, further settings, and logins that are there from the
    /// start.
    pub fn start_with(directory: TempDir, listeners: &[&'static str], further: &str, logins: &[String]) -> Self {
        let [port, controller, more @ ..] = free_ports::<4>();
        let ports: BTreeMap<_, _> = listeners.iter().copied().zip(more).collect();
        let named = |name: &str, port: u16| format!(",{name}://127.0.0.1:{port}");
        let listeners = Listeners {
            bound: ports.iter().map(|(name, port)| named(name, *port)).collect(),
            advertised: ports.iter().map(|(name, port)| named(name, *port)).collect(),
            protocols: ports.keys().map(|name| format!(",{name}:{name}")).collect(),
        };
        let settings = settings(directory.path(), port, controller, &listeners) + further;
        Self::start_as(directory, port, ports, &settings, logins)
    }

    /// One that whoever comes by [`WAY`] is to find at another port.
    pub fn start_behind(way: u16) -> Self {
        let [port, controller, bound] = free_ports::<3>();
        let listeners = Listeners {
            bound: format!(",{WAY}://127.0.0.1:{bound}"),
            advertised: format!(",{WAY}://127.0.0.1:{way}"),
            protocols: format!(",{WAY}:PLAINTEXT"),
        };
        let directory = TempDir::new().unwrap();
        let settings = settings(directory.path(), port, controller, &listeners);
        Self::start_as(directory, port, BTreeMap::from([(WAY, bound)]), &settings, &[])
    }

    fn start_as(
        directory: TempDir,
        port: u16,
        ports: BTreeMap<&'static str, u16>,
        settings: &str,
        logins: &[String],
    ) -> Self {
        let broker = Broker { directory, port, ports, running: Mutex::new(None) };
        let logins = logins.iter().flat_map(|login| ["--add-scram", login]);
        broker.format(settings, std::iter::once("--standalone").chain(logins));
        broker.start_again();
        broker
    }

    /// One of several, which does not run yet; the settings say which one, and who the others are.
    pub fn of_a_cluster([port, controller]: [u16; 2], further: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let settings = settings(directory.path(), port, controller, &Listeners::default()) + further;
        let broker = Broker { directory, port, ports: BTreeMap::new(), running: Mutex::new(None) };
        broker.format(&settings, std::iter::empty());
        broker
    }

    fn format<'a>(&self, settings: &str, further: impl Iterator<Item = &'a str>) {
        std::fs::write(self.settings_path(), settings).unwrap();
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", &self.settings_path()];
        let formatted = Command::new("java").args(java("128m")).args(format).args(further).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
    }

    pub fn start_again(&self) {
        let arguments = [java("512m"), vec!["kafka.Kafka".to_owned(), self.settings_path()]].concat();
        let folder = self.directory.path();
        let server = Server::java(&arguments, folder, self.port, &folder.join("server.log"));
        *self.running.lock().unwrap() = Some(server);
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(server) = self.running.lock().unwrap().take() {
            server.kill();
        }
    }

    /// As an administrator does it: a log that was closed is not looked through when it is opened again.
    pub fn stop(&self) {
        if let Some(server) = self.running.lock().unwrap().take() {
            server.end();
        }
    }

    pub fn signal(&self, name: &str) {
        if let Some(server) = self.running.lock().unwrap().as_ref() {
            server.signal(name);
        }
    }

    /// The first segment of a topic's one partition.
    pub fn log_of(&self, topic: &str) -> PathBuf {
        self.directory.path().join(format!("data/{topic}-0/{:020}.log", 0))
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn servers_of(&self, listener: &str) -> String {
        format!("127.0.0.1:{}", self.ports[listener])
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn settings_path(&self) -> String {
        self.directory.path().join("server.properties").to_str().unwrap().to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What `java` takes before the name of a class of the broker.
fn java(memory: &str) -> Vec<String> {
    let jars = std::env::var("TABLEFLOW_KAFKA").expect(
        "TABLEFLOW_KAFKA names the folder of a Kafka broker's jars: `scripts/part kafka` fetches them, see `make test`",
    );
    [java_options(memory), vec!["-cp".to_owned(), format!("{jars}/*")]].concat()
}

/// Those beside its own, each behind a comma.
#[derive(Default)]
struct Listeners {
    bound: String,
    advertised: String,
    protocols: String,
}

/// One node, small, and quick to clean and to expire.
fn settings(directory: &Path, port: u16, controller: u16, listeners: &Listeners) -> String {
    let data = directory.join("data");
    let Listeners { bound, advertised, protocols } = listeners;
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{bound}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
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
