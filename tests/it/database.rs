//! A database in a temporary directory, and sessions that run text as a client's simple messages would.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tributary::dialect::Statement;
use tributary::engine::{Engine, EngineConfig, Implicit, Login, Outcome, Session};
use tributary::error::PgError;
use tributary_pg::TextStyle;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_store::{RealDisk, Store, StoreConfig, SystemClock};

/// An engine over a store of its own.
pub struct Database {
    pub engine: Arc<Engine>,
    _directory: tempfile::TempDir,
}

impl Database {
    /// An empty one.
    pub fn new() -> Self {
        Self::with(StoreConfig::default())
    }

    /// An empty one whose store has these settings.
    pub fn with(config: StoreConfig) -> Self {
        Self::with_engine(config, EngineConfig::default())
    }

    /// An empty one whose store and engine have these settings.
    pub fn with_engine(config: StoreConfig, engine: EngineConfig) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = StoreConfig { data_dir: directory.path().to_owned(), ..config };
        let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
        let engine = Engine::open(engine, store).expect("opens");
        Self { engine, _directory: directory }
    }

    /// Writes the rows of every table into parts.
    pub fn flush(&self) {
        let store = self.engine.store();
        let tables: Vec<u32> = store.snapshot().tables().map(|(oid, _)| oid).collect();
        tables.into_iter().for_each(|table| store.flush(table).expect("flushes"));
    }

    /// A new session.
    pub fn connect(&self) -> Client {
        let login = Login { user: "postgres".to_owned(), database: "tributary".to_owned(), ..Login::default() };
        Client { session: self.engine.connect(login).expect("connects") }
    }
}

/// A session.
pub struct Client {
    pub session: Session,
}

impl Client {
    /// Runs a message. Gives each row as text, columns divided by `|`, and each tag.
    pub async fn run(&mut self, text: &str) -> Result<Vec<String>, PgError> {
        let mut out = Vec::new();
        let done = self.run_message(text, &mut out).await;
        if done.is_err() {
            self.session.fail();
        }
        done.map(|()| out)
    }

    async fn run_message(&mut self, text: &str, out: &mut Vec<String>) -> Result<(), PgError> {
        let statements = self.session.parse(text)?;
        let alone = statements.len() == 1;
        for statement in statements {
            self.session.begin_statement(text);
            if alone {
                self.session.set_alone();
            }
            let done = self.run_statement(statement, out).await;
            self.session.end_statement();
            done?;
        }
        self.session.finish(Implicit::Commit).await
    }

    async fn run_statement(&mut self, statement: Statement, out: &mut Vec<String>) -> Result<(), PgError> {
        let prepared = self.session.analyze(statement, &[]).await?;
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        match self.session.run(&mut portal).await? {
            Outcome::Rows(word) => {
                let mut count = 0;
                while let Some(batch) = self.session.fetch(&mut portal, usize::MAX).await? {
                    count += batch.num_rows() as u64;
                    out.extend(printed(&batch));
                }
                out.push(Outcome::row_tag(word, count));
            }
            Outcome::Done(tag) => out.push(tag),
            other => panic!("unexpected {other:?}"),
        }
        Ok(())
    }

    /// Runs a message that must succeed.
    pub async fn ok(&mut self, text: &str) -> Vec<String> {
        self.run(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    /// Runs a message that must fail.
    pub async fn error(&mut self, text: &str) -> PgError {
        match self.run(text).await {
            Ok(rows) => panic!("{text} succeeded: {rows:?}"),
            Err(error) => error,
        }
    }

    /// COPY FROM STDIN with data given in pieces.
    pub async fn copy_in(&mut self, text: &str, pieces: &[&[u8]]) -> Result<String, PgError> {
        self.session.begin_statement(text);
        let done = self.copy_pieces(text, pieces).await;
        self.session.end_statement();
        if done.is_err() {
            self.session.fail();
        }
        done
    }

    async fn copy_pieces(&mut self, text: &str, pieces: &[&[u8]]) -> Result<String, PgError> {
        let statement = self.session.parse(text)?.remove(0);
        self.session.set_alone();
        let prepared = self.session.analyze(statement, &[]).await?;
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        let Outcome::CopyIn(mut copy) = self.session.run(&mut portal).await? else { panic!("no COPY FROM: {text}") };
        for piece in pieces {
            copy.push(&mut self.session, piece).await?;
        }
        let tag = copy.finish(&mut self.session).await?;
        self.session.finish(Implicit::Commit).await?;
        Ok(tag)
    }

    /// COPY TO STDOUT: all of the data, and the tag.
    pub async fn copy_out(&mut self, text: &str) -> Result<(String, String), PgError> {
        let (data, tag) = self.copy_out_bytes(text).await?;
        Ok((String::from_utf8(data).expect("text"), tag))
    }

    /// The same for data of any kind.
    pub async fn copy_out_bytes(&mut self, text: &str) -> Result<(Vec<u8>, String), PgError> {
        self.session.begin_statement(text);
        let statement = self.session.parse(text)?.remove(0);
        let prepared = self.session.analyze(statement, &[]).await?;
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        let Outcome::CopyOut(mut copy) = self.session.run(&mut portal).await? else { panic!("no COPY TO: {text}") };
        let mut data = Vec::new();
        while let Some(chunk) = copy.next(&mut self.session).await? {
            assert_eq!(chunk.ends.last(), Some(&chunk.bytes.len()));
            data.extend_from_slice(&chunk.bytes);
        }
        self.session.end_statement();
        self.session.finish(Implicit::Commit).await?;
        Ok((data, copy.tag()))
    }
}

fn printed(batch: &RecordBatch) -> Vec<String> {
    let columns: Vec<ColumnText> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let mut text = ColumnText::new();
            let printer = TextPrinter::for_field(field, &TextStyle::default()).expect("prints");
            printer.print(column, &mut text).expect("prints");
            text
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.text(row).unwrap_or("")).collect::<Vec<_>>().join("|"))
        .collect()
}
