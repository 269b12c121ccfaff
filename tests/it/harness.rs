//! A server of its own for a test: new data directory, free port, everyone on loopback trusted.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use tributary::config::{Config, Sources};
use tributary::engine::Engine;
use tributary::server::Server;

/// A running server and a runtime for its clients.
pub struct Harness {
    server: Option<Server>,
    runtime: Runtime,
    directory: tempfile::TempDir,
}

impl Harness {
    /// Starts with the usual configuration.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Everyone from loopback is the superuser `postgres`, which the wire scripts expect.
    pub fn as_postgres() -> Self {
        Self::start_with(|config| config.superuser = Some("postgres".to_owned()))
    }

    /// Starts with a configuration file alone: nobody is trusted unless it says so.
    pub fn with_file(text: &str) -> Self {
        let sources = Sources { file: Some(("test.toml".into(), text.to_owned())), ..Sources::default() };
        let read = Config::build(&sources).expect("a good configuration");
        Self::start_with(|config| {
            *config = Config { data_dir: config.data_dir.take(), listen: config.listen, ..read };
        })
    }

    /// Starts after `change` had its way with the configuration.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config {
            data_dir: Some(directory.path().to_owned()),
            listen: ([127, 0, 0, 1], 0).into(),
            trust: true,
            ..Config::default()
        };
        change(&mut config);
        let server = Server::start(&config).unwrap_or_else(|error| panic!("the server starts: {error}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Self { server: Some(server), runtime, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("runs until dropped").address()
    }

    /// Where the admin port is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.server.as_ref().expect("runs until dropped").admin_address()
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        self.server.as_ref().expect("runs until dropped").engine()
    }

    /// Stops it now.
    pub fn stop(mut self) {
        self.server.take().expect("runs until dropped").stop().expect("closes");
    }

    /// Runs a client's work.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A connection as the superuser.
    pub async fn connect(&self) -> Client {
        self.connect_as("tributary").await
    }

    /// A connection as a role.
    pub async fn connect_as(&self, user: &str) -> Client {
        let server = self.server.as_ref().expect("runs until dropped");
        let url = format!("host=127.0.0.1 port={} user={user} dbname=tributary", server.address().port());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connects");
        tokio::spawn(async move {
            // The client's own calls report why a connection ended.
            connection.await.ok();
        });
        client
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().expect("closes");
        }
    }
}
