//! Floor 4: SQL without a socket. Runs a text in a session of its own and gives back rows as text, for the command line
//! and the demo; the same statements, settings and errors as over the wire.
//!
//! A [`Console`] holds whole results, so it is for answers a person reads, not for exports.

mod table;

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::{ColumnText, TextPrinter};

use crate::engine::{Engine, Implicit, Login, Outcome, OutputColumn, Portal, Session};

pub use table::render;

/// Bytes of COPY data handed over at a time.
const COPY_CHUNK_BYTES: usize = 256 << 10;

/// Rows of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Column names.
    pub columns: Vec<String>,
    /// Is the column printed flush right?
    pub numeric: Vec<bool>,
    /// Values as PostgreSQL's text, `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag.
    pub tag: String,
}

/// A session and what it takes to print.
pub struct Console {
    session: Session,
}

impl Console {
    /// Opens a session as `user`.
    pub fn open(engine: &Arc<Engine>, user: &str) -> PgResult<Self> {
        let database = engine.config().database.clone();
        let login = Login { user: user.to_owned(), database, ..Login::default() };
        Ok(Self { session: engine.connect(login)? })
    }

    /// Runs a text; statements outside BEGIN and COMMIT are one transaction, as in one message of the wire.
    pub async fn run(&mut self, text: &str) -> PgResult<Vec<Answer>> {
        let mut answers = Vec::new();
        let outcome = self.run_all(text, &mut answers).await;
        match outcome {
            Ok(()) => self.session.finish(Implicit::Commit).await?,
            Err(error) => {
                self.session.fail();
                return Err(error);
            }
        }
        Ok(answers)
    }

    async fn run_all(&mut self, text: &str, answers: &mut Vec<Answer>) -> PgResult<()> {
        for statement in self.session.parse(text)? {
            self.session.begin_statement(&statement.text.clone());
            let answer = self.run_one(statement).await;
            self.session.end_statement();
            answers.push(answer?);
        }
        Ok(())
    }

    async fn run_one(&mut self, statement: crate::dialect::Statement) -> PgResult<Answer> {
        let prepared = self.session.analyze(statement, &[]).await?;
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        match self.session.run(&mut portal).await? {
            Outcome::Rows(word) => self.collect(&mut portal, word).await,
            Outcome::Done(tag) => Ok(Answer { tag, ..Answer::default() }),
            Outcome::Empty => Ok(Answer::default()),
            Outcome::CopyIn(_) => Err(PgError::unsupported("COPY FROM STDIN needs a client that sends data")),
            Outcome::CopyOut(_) => Err(PgError::unsupported("COPY TO STDOUT needs a client that takes data")),
        }
    }

    async fn collect(&mut self, portal: &mut Portal, word: &'static str) -> PgResult<Answer> {
        let columns: Vec<OutputColumn> = portal.prepared.columns.clone().unwrap_or_default();
        let style = self.session.text_style();
        let printers =
            columns.iter().map(|column| TextPrinter::for_field(&column.field, &style)).collect::<PgResult<Vec<_>>>()?;
        let mut answer = Answer {
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            numeric: columns.iter().map(|column| column.field.data_type().is_numeric()).collect(),
            ..Answer::default()
        };
        while let Some(batch) = self.session.fetch(portal, usize::MAX).await? {
            let mut texts = Vec::with_capacity(printers.len());
            for (printer, array) in printers.iter().zip(batch.columns()) {
                let mut text = ColumnText::new();
                printer.print(array.as_ref(), &mut text)?;
                texts.push(text);
            }
            for row in 0..batch.num_rows() {
                answer.rows.push(texts.iter().map(|text| text.text(row).map(str::to_owned)).collect());
            }
        }
        answer.tag = Outcome::row_tag(word, answer.rows.len() as u64);
        Ok(answer)
    }

    /// Runs `COPY ... FROM STDIN` with data read to its end; `progress` is told the bytes so far.
    pub async fn copy_in(
        &mut self,
        statement: &str,
        mut data: impl Read,
        mut progress: impl FnMut(u64),
    ) -> PgResult<String> {
        self.session.begin_statement(statement);
        let outcome = self.copy_all(statement, &mut data, &mut progress).await;
        self.session.end_statement();
        match outcome {
            Ok(tag) => {
                self.session.finish(Implicit::Commit).await?;
                Ok(tag)
            }
            Err(error) => {
                self.session.fail();
                Err(error)
            }
        }
    }

    async fn copy_all(
        &mut self,
        statement: &str,
        data: &mut impl Read,
        progress: &mut impl FnMut(u64),
    ) -> PgResult<String> {
        let not_copy = || PgError::internal(format!("{statement} takes no data"));
        let statement = self.session.parse(statement)?.into_iter().next().ok_or_else(not_copy)?;
        let prepared = self.session.analyze(statement, &[]).await?;
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        let Outcome::CopyIn(mut copy) = self.session.run(&mut portal).await? else { return Err(not_copy()) };
        let mut chunk = vec![0; COPY_CHUNK_BYTES];
        let mut byte_count = 0;
        loop {
            match data.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    copy.push(&mut self.session, &chunk[..read]).await?;
                    byte_count += read as u64;
                    progress(byte_count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(PgError::new(
                        tributary_pg::sqlstate::IO_ERROR,
                        format!("the data cannot be read: {error}"),
                    ));
                }
            }
        }
        copy.finish(&mut self.session).await
    }

    /// Notices since the last call.
    pub fn notices(&mut self) -> Vec<PgError> {
        self.session.drain().notices
    }
}
