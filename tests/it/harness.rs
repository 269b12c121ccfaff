//! A server of its own for a test: new data directory, free port, everyone on loopback trusted.

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use tributary::config::Config;
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

    /// The engine behind the server.
    pub fn engine(&self) -> &std::sync::Arc<tributary::engine::Engine> {
        self.server.as_ref().expect("runs until dropped").engine()
    }

    /// Runs a client's work.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A connection as the superuser.
    pub async fn connect(&self) -> Client {
        let server = self.server.as_ref().expect("runs until dropped");
        let url = format!("host=127.0.0.1 port={} user=tributary dbname=tributary", server.address().port());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connects");
        tokio::spawn(async move {
            // The client's own calls report why a connection ended.
            connection.await.ok();
        });
        client
    }

    /// The data directory.
    #[expect(dead_code, reason = "for tests that look at files")]
    pub fn data_dir(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}
