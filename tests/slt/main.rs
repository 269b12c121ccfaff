//! Runs every `.slt` file below `tests/slt` over the wire, each against a server of its own on a free port.
//!
//! Rows are compared as the text PostgreSQL sends, NULL as `NULL`, empty text as `(empty)`. `TRIBUTARY_SLT_URL` runs the
//! same files against another server, for example PostgreSQL itself, one after the other in one database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tributary::config::Config;
use tributary::server::Server;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let trials = slt_files(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("").display().to_string();
            Trial::test(name, move || run_file(&path))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn slt_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the test directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            files.extend(slt_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn run_file(path: &Path) -> Result<(), Failed> {
    if let Ok(url) = std::env::var("TRIBUTARY_SLT_URL") {
        return run_against(path, &url);
    }
    let data = tempfile::tempdir()?;
    let config = Config {
        data_dir: Some(data.path().to_owned()),
        listen: ([127, 0, 0, 1], 0).into(),
        trust: true,
        ..Config::default()
    };
    let server = Server::start(&config).map_err(|error| error.to_string())?;
    let address = server.address();
    let url = format!("host=127.0.0.1 port={} user=tributary dbname=tributary", address.port());
    let result = run_against(path, &url);
    server.stop().expect("closes");
    result
}

fn run_against(path: &Path, url: &str) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut runner = Runner::new(|| connect(url.to_owned()));
        let outcome = runner.run_file_async(path).await;
        runner.shutdown_async().await;
        outcome.map_err(|error| Failed::from(error.display(false).to_string()))
    })
}

async fn connect(url: String) -> Result<Connection, WireError> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(WireError)?;
    let driver = tokio::spawn(async move {
        // The client's own calls report why a connection ended.
        connection.await.ok();
    });
    Ok(Connection { client, driver })
}

struct Connection {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<()>,
}

/// Shows SQLSTATE and message, which is what `.slt` files match.
#[derive(Debug)]
struct WireError(tokio_postgres::Error);

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(error) => {
                write!(f, "{}: {}", error.code().code(), error.message())?;
                if let Some(detail) = error.detail() {
                    write!(f, " DETAIL: {detail}")?;
                }
                if let Some(hint) = error.hint() {
                    write!(f, " HINT: {hint}")?;
                }
                Ok(())
            }
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for WireError {}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = WireError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, WireError> {
        let messages = self.client.simple_query(sql).await.map_err(WireError)?;
        let mut rows = Vec::new();
        let mut column_count = None;
        let mut completed = 0;
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => column_count = Some(columns.len()),
                SimpleQueryMessage::Row(row) => {
                    column_count = Some(row.len());
                    rows.push((0..row.len()).map(|index| shown(row.get(index))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => completed = count,
                _ => {}
            }
        }
        Ok(match column_count {
            Some(count) => DBOutput::Rows { types: vec![DefaultColumnType::Any; count], rows },
            None => DBOutput::StatementComplete(completed),
        })
    }

    async fn shutdown(&mut self) {
        self.driver.abort();
    }

    fn engine_name(&self) -> &str {
        "postgres"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}
