//! A server of the tests' own, in a process.
//!
//! Owns [`Server`].
//! - I1: it ends with whoever started it, however that ends: a shell waits for the end of its own input, and then ends
//!   the server by its process id.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::alone::alone;
use crate::product::PATIENCE;

/// Prints the server's process id, and waits.
const UNTIL_INPUT_ENDS: &str = "\"$@\" < /dev/null & echo $!; cat > /dev/null; kill -9 $!";

const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Server {
    shell: Child,
    process: String,
}

impl Server {
    /// Starts a Java program in a folder, and waits until its port answers. What it says goes to the log.
    pub fn java(arguments: &[String], folder: &Path, port: u16, log: &Path) -> Self {
        let output = || File::options().create(true).append(true).open(log).unwrap();
        let mut command = alone("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh", "java"]).args(arguments).current_dir(folder);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(output()).spawn().unwrap();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        let mut process = String::new();
        said.read_line(&mut process).unwrap();
        let mut rest = output();
        std::thread::spawn(move || std::io::copy(&mut said, &mut rest));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "the server does not answer: {said}");
            std::thread::sleep(LOOK_EVERY);
        }
        Server { shell, process: process.trim().to_owned() }
    }

    /// kill -9.
    pub fn kill(mut self) {
        let killed = Command::new("kill").args(["-9", &self.process]).status().unwrap();
        assert!(killed.success());
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and its end.
    pub fn end(mut self) {
        self.signal("TERM");
        let running =
            || Command::new("kill").args(["-0", &self.process]).stderr(Stdio::null()).status().unwrap().success();
        let started = Instant::now();
        while running() {
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A program that starts quickly and stays small.
pub fn java_options(memory: &str) -> Vec<String> {
    let quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN"].map(str::to_owned);
    std::iter::once(format!("-Xmx{memory}")).chain(quick).collect()
}

pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
