//! A real schema registry: Apicurio's, which answers Confluent's API.
//!
//! Owns [`Registry`], and a [`Door`] to it.

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
        std::thread::spawn(move || {
            for outer in listener.incoming().filter_map(Result::ok).filter(|_| is_open.load(Ordering::Relaxed)) {
                let Ok(inner) = TcpStream::connect(("127.0.0.1", inside)) else { continue };
                for (mut from, mut to) in [(outer.try_clone().unwrap(), inner.try_clone().unwrap()), (inner, outer)] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Door { port, open }
    }
}

/// While it is shut, whoever comes is turned away.
#[derive(Debug)]
pub struct Door {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Door {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    pub fn set(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }
}
