//! A real schema registry: Apicurio's, which answers Confluent's API.
//!
//! Owns [`Registry`]; a [`Door`] may lead to it.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use super::server::{Server, free_ports, java_options};
use crate::door::Door;

const PATH: &str = "/apis/ccompat/v7";

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
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Another address of it, which can be made to answer nobody.
    pub fn through_a_door(&self) -> Door {
        Door::to(self.port, PATH)
    }
}
