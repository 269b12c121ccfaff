//! COPY's formats as pure readers and writers: bytes in, rows out, and back.
//!
//! Readers take chunks that may split anywhere and hand out rows as slices; writers append rows to a buffer. Both know
//! nothing of the protocol, files or tables: see the wire for CopyData messages, the engine for defaults and checks.

pub mod binary;
pub mod fields;
pub mod json;
pub mod options;
pub mod reader;
pub mod writer;

pub use binary::BinaryReader;
pub use fields::CopyRow;
pub use json::{JsonReader, JsonRow, UnknownMember};
pub use options::{ColumnChoice, CopyDirection, CopyFormat, CopyHeader, CopyOption, CopyOptions, CopyValue};
pub use reader::CopyReader;
pub use writer::CopyWriter;

use crate::error::PgError;

/// Bytes of a line or value that CONTEXT shows.
const SHOWN_BYTES_MAX: usize = 100;

/// The CONTEXT lines of one COPY, or of one file that is read in another way.
#[derive(Clone, Debug)]
pub struct CopyContext {
    source: String,
}

impl CopyContext {
    /// For a relation's name as the statement has it, without schema.
    pub fn new(relation: impl Into<String>) -> Self {
        Self { source: format!("COPY {}", relation.into()) }
    }

    /// For a file that a query reads.
    pub fn of_file(path: &str) -> Self {
        Self { source: format!("file \"{path}\"") }
    }

    /// `COPY t, line 2`: constraints, and trouble while a line is read.
    pub fn line(&self, line: u64) -> String {
        format!("{}, line {line}", self.source)
    }

    /// `COPY t, line 2: "1,2"`: errors of a line's shape.
    pub fn line_text(&self, line: u64, text: &[u8]) -> String {
        format!("{}, line {line}: \"{}\"", self.source, shown(text))
    }

    /// `COPY t, line 2, column id: "x"`: errors of a value; `None` is NULL.
    pub fn column(&self, line: u64, column: &str, value: Option<&str>) -> String {
        match value {
            Some(value) => {
                format!("{}, line {line}, column {column}: \"{}\"", self.source, shown(value.as_bytes()))
            }
            None => format!("{}, line {line}, column {column}: null input", self.source),
        }
    }

    /// Puts the context of a column's value onto the error of its parser.
    pub fn value_error(&self, error: PgError, line: u64, column: &str, value: Option<&str>) -> PgError {
        error.context(self.column(line, column, value))
    }
}

/// The first 100 bytes, cut at a character's edge, with dots behind if that is not all.
fn shown(text: &[u8]) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut end = SHOWN_BYTES_MAX;
    while end > 0 && text[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    format!("{}...", String::from_utf8_lossy(&text[..end]))
}
