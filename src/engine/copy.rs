//! COPY: bytes of the client into a table, rows of a query into bytes.
//!
//! A COPY FROM reads rows in batches, checks them like an INSERT and puts them into the transaction; above the store's
//! staging limit they go to disk as they come, so its memory does not grow with the data. All or nothing: an error
//! anywhere fails the statement. A COPY TO prints a running query, batch by batch.

mod input;
mod output;

use tributary_pg::copy::{CopyDirection, CopyOptions};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::prepared::Outcome;
use super::session::Session;
use crate::dialect::{CopyPlace, CopyStatement};

pub use input::CopyIn;
pub use output::{CopyChunk, CopyOut};

/// Starts a COPY.
pub(super) async fn run(session: &mut Session, copy: &CopyStatement) -> Result<Outcome, PgError> {
    let direction = if copy.from { CopyDirection::From } else { CopyDirection::To };
    let options = CopyOptions::parse(&copy.options, direction)?;
    match &copy.place {
        CopyPlace::Client => {}
        CopyPlace::Program => return Err(PgError::unsupported("COPY with a program is not supported")),
        // No directory is allowed: that needs a setting of its own.
        CopyPlace::File(_) => {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "path is outside the allowed directories")
                .hint("Use COPY FROM STDIN or COPY TO STDOUT; psql's \\copy does."));
        }
    }
    if let Some(encoding) = &options.encoding
        && !matches!(encoding.to_ascii_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE")
    {
        return Err(PgError::unsupported(format!("COPY in encoding \"{encoding}\" is not supported yet")));
    }
    session.ensure_transaction().queried = true;
    if copy.from {
        let copy = CopyIn::start(session, copy, &options)?;
        Ok(Outcome::CopyIn(Box::new(copy)))
    } else {
        let copy = CopyOut::start(session, copy, &options).await?;
        Ok(Outcome::CopyOut(Box::new(copy)))
    }
}
