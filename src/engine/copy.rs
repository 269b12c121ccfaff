//! COPY: bytes of the client into a table, rows of a query into bytes.

use tributary_pg::error::PgError;

use super::session::Session;

/// A COPY FROM STDIN that takes data.
#[derive(Debug)]
pub struct CopyIn {
    /// Columns of the input.
    pub column_count: usize,
    /// Binary format.
    pub binary: bool,
}

impl CopyIn {
    /// Takes the next bytes, cut anywhere.
    pub async fn push(&mut self, _session: &mut Session, _bytes: &[u8]) -> Result<(), PgError> {
        Err(PgError::unsupported("COPY FROM STDIN is not supported yet"))
    }

    /// The data is complete: writes the rest and gives the command tag.
    pub async fn finish(self, _session: &mut Session) -> Result<String, PgError> {
        Err(PgError::unsupported("COPY FROM STDIN is not supported yet"))
    }
}

/// A COPY TO STDOUT that gives data.
#[derive(Debug)]
pub struct CopyOut {
    /// Columns of the output.
    pub column_count: usize,
    /// Binary format.
    pub binary: bool,
}

/// Some rows of a COPY TO, as bytes; `ends` are the offsets at which rows end: one CopyData message each.
#[derive(Debug, Default)]
pub struct CopyChunk {
    /// Row after row.
    pub bytes: Vec<u8>,
    /// End of each row within `bytes`.
    pub ends: Vec<usize>,
}

impl CopyOut {
    /// The next rows, `None` at the end.
    pub async fn next(&mut self, _session: &mut Session) -> Result<Option<CopyChunk>, PgError> {
        Err(PgError::unsupported("COPY TO STDOUT is not supported yet"))
    }

    /// The command tag, once all rows are out.
    pub fn tag(&self) -> String {
        "COPY 0".to_owned()
    }
}
