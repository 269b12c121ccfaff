//! COPY: bytes of the client or of a file into a table, rows of a query into bytes.
//!
//! A COPY FROM reads rows in batches, checks them like an INSERT and puts them into the transaction; above the store's
//! staging limit they go to disk as they come, so its memory does not grow with the data. All or nothing: an error
//! anywhere fails the statement. A COPY TO prints a running query, batch by batch.

mod input;
mod output;
pub(super) mod parquet;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tributary_pg::copy::{CopyDirection, CopyFormat, CopyOptions};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::activity::CopyProgress;
use super::files::{self, Allowed, FileRight, NewFile};
use super::prepared::Outcome;
use super::session::Session;
use crate::dialect::{CopyPlace, CopyStatement};

pub use input::CopyIn;
pub use output::{CopyChunk, CopyOut};

/// Bytes of a file taken at a time.
const FILE_CHUNK: usize = 256 << 10;

/// Starts a COPY with the client, or runs one with a file of the server.
pub(super) async fn run(session: &mut Session, copy: &CopyStatement) -> Result<Outcome, PgError> {
    let file = match &copy.place {
        CopyPlace::Client => None,
        CopyPlace::Program => {
            must_have(session, FileRight::Execute, "COPY to or from an external program")?;
            return Err(PgError::unsupported("COPY with a program is not supported"));
        }
        CopyPlace::File(path) if copy.from => {
            must_have(session, FileRight::Read, "COPY from a file")?;
            Some(path)
        }
        CopyPlace::File(path) => {
            must_have(session, FileRight::Write, "COPY to a file")?;
            Some(path)
        }
    };
    let direction = if copy.from { CopyDirection::From } else { CopyDirection::To };
    let options = CopyOptions::parse(&copy.options, direction)?;
    if let Some(encoding) = &options.encoding
        && !matches!(encoding.to_ascii_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE")
    {
        return Err(PgError::unsupported(format!("COPY in encoding \"{encoding}\" is not supported yet")));
    }
    session.ensure_transaction().queried = true;
    match (copy.from, file) {
        (true, None) => Ok(Outcome::CopyIn(Box::new(CopyIn::start(session, copy, &options)?))),
        (false, None) => Ok(Outcome::CopyOut(Box::new(CopyOut::start(session, copy, &options).await?))),
        (true, Some(path)) => from_file(session, copy, &options, path).await.map(Outcome::Done),
        (false, Some(path)) => to_file(session, copy, &options, path).await.map(Outcome::Done),
    }
}

/// Lets others see how far the COPY is, until its statement ends.
fn shown_progress(session: &Session, relid: u32, copy: &CopyStatement) -> Arc<CopyProgress> {
    let progress = Arc::new(CopyProgress::new(relid, copy.from, copy.place != CopyPlace::Client));
    session.backend().update(|status| status.copy = Some(Arc::clone(&progress)));
    progress
}

/// The hint is PostgreSQL's.
fn must_have(session: &Session, right: FileRight, what: &str) -> Result<(), PgError> {
    right.must_have(&session.catalog(), &session.current_user(), what).map_err(|error| {
        error.hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.")
    })
}

async fn from_file(
    session: &mut Session,
    copy: &CopyStatement,
    options: &CopyOptions,
    path: &str,
) -> Result<String, PgError> {
    let mut input = CopyIn::start(session, copy, options)?;
    let place = files::place(path, &Allowed::of(session.engine().store()))?;
    let mut file = files::open(&place)?;
    input.progress().bytes_total.store(file.facts.size, Ordering::Relaxed);
    if options.format == CopyFormat::Parquet {
        return input.read_parquet(session, file.into_file(), path).await;
    }
    let mut buffer = vec![0; FILE_CHUNK];
    loop {
        session.token().check()?;
        match file.read(&mut buffer)? {
            0 => break,
            count => input.push(session, &buffer[..count]).await?,
        }
    }
    input.finish(session).await
}

async fn to_file(
    session: &mut Session,
    copy: &CopyStatement,
    options: &CopyOptions,
    path: &str,
) -> Result<String, PgError> {
    if !path.starts_with('/') {
        return Err(PgError::new(sqlstate::INVALID_NAME, "relative path not allowed for COPY to file"));
    }
    let place = files::place(path, &Allowed::of(session.engine().store()))?;
    let mut output = CopyOut::start(session, copy, options).await?;
    let mut file = NewFile::create(&place)?;
    while let Some(chunk) = output.next(session).await? {
        file.write_all(&chunk.bytes).map_err(|error| files::write_error(&error))?;
    }
    file.keep()?;
    Ok(output.tag())
}
