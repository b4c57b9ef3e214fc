//! A real schema registry: Apicurio's, which answers Confluent's API.
//!
//! Owns [`Registry`], and a [`Door`] to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use super::server::{Server, free_ports, java_options};

static SHARED: OnceLock<Registry> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
pub struct Registry {
    _directory: TempDir,
    port: u16,
    /// Ends with the tests.
    _running: Server,
}

impl Registry {
    /// The one that tests share: subjects have names of their own.
    pub fn shared() -> &'static Registry {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        SHARED.get_or_init(Registry::start)
    }

    fn start() -> Self {
        let home = std::env::var("TABLEFLOW_REGISTRY").expect(
            "TABLEFLOW_REGISTRY names the folder of a schema registry: `scripts/part registry` fetches it, see `make test`",
        );
        let mut files =
            std::fs::read_dir(&home).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let jar = files.find(|name| name.ends_with("-runner.jar")).expect("the registry's jar");
        let (directory, [port, management]) = (TempDir::new().unwrap(), free_ports());
        let mut arguments = java_options("256m");
        arguments.extend([
            "-Dquarkus.http.host=127.0.0.1".to_owned(),
            format!("-Dquarkus.http.port={port}"),
            "-Dquarkus.management.host=127.0.0.1".to_owned(),
            format!("-Dquarkus.management.port={management}"),
            "-jar".to_owned(),
            jar,
        ]);
        let running = Server::java(&arguments, Path::new(&home), port, &directory.path().join("registry.log"));
        Registry { _directory: directory, port, _running: running }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Another address of it, which can be made to answer nobody.
    pub fn through_a_door(&self) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, inside) = (listener.local_addr().unwrap().port(), self.port);
        let open = Arc::new(AtomicBool::new(true));
        let is_open = open.clone();
        let answer: Arc<Mutex<Option<String>>> = Arc::default();
        let instead = answer.clone();
        std::thread::spawn(move || {
            for outer in listener.incoming().filter_map(Result::ok).filter(|_| is_open.load(Ordering::Relaxed)) {
                if let Some(answer) = instead.lock().unwrap().clone() {
                    turn_away(outer, &answer);
                    continue;
                }
                let Ok(inner) = TcpStream::connect(("127.0.0.1", inside)) else { continue };
                for (mut from, mut to) in [(outer.try_clone().unwrap(), inner.try_clone().unwrap()), (inner, outer)] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Door { port, open, answer }
    }
}

/// While it is shut, whoever comes is turned away.
#[derive(Debug)]
pub struct Door {
    port: u16,
    open: Arc<AtomicBool>,
    answer: Arc<Mutex<Option<String>>>,
}

/// Reads one request, and answers with this.
fn turn_away(mut stream: TcpStream, answer: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        request.extend(byte);
    }
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Both);
}

impl Door {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    pub fn set(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Whoever comes gets a 404 with this body, until it is taken back.
    pub fn answer_404(&self, body: Option<&str>) {
        let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length:";
        *self.answer.lock().unwrap() = body.map(|body| format!("{head} {}\r\n\r\n{body}", body.len()));
    }
}
