//! COPY TO in text and csv format: printed columns in, rows out.

use super::options::{CopyFormat, CopyHeader, CopyOptions};
use crate::error::{PgError, PgResult};
use crate::text::ColumnText;

/// Writes rows of printed columns.
#[derive(Debug)]
pub struct CopyWriter {
    csv: bool,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    header: bool,
    force_quote: Vec<bool>,
    columns: Vec<String>,
}

impl CopyWriter {
    /// A writer for these options and columns. `relation` is the table, if it is one, for 42703 when FORCE_QUOTE names
    /// another column.
    pub fn new(options: &CopyOptions, relation: Option<&str>, columns: Vec<String>) -> PgResult<Self> {
        if options.format == CopyFormat::Binary {
            return Err(PgError::internal("the binary format has its own writer"));
        }
        Ok(Self {
            csv: options.format == CopyFormat::Csv,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone().into_bytes(),
            header: options.header != CopyHeader::Absent,
            force_quote: CopyOptions::flags(&options.force_quote, &columns, relation)?,
            columns,
        })
    }

    /// Appends the header line, if one is wanted; says whether it did.
    pub fn write_header(&self, out: &mut Vec<u8>) -> bool {
        if !self.header {
            return false;
        }
        let single = self.columns.len() == 1;
        for (index, name) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(self.delimiter);
            }
            if self.csv {
                self.write_csv(name.as_bytes(), false, single, out);
            } else {
                self.write_text(name.as_bytes(), out);
            }
        }
        out.push(b'\n');
        true
    }

    /// Appends one row with its line end.
    pub fn write_row(&self, columns: &[ColumnText], row: usize, out: &mut Vec<u8>) {
        let single = columns.len() == 1;
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(self.delimiter);
            }
            match column.value(row) {
                None => out.extend_from_slice(&self.null),
                Some(value) if self.csv => {
                    let forced = self.force_quote.get(index).copied().unwrap_or(false);
                    self.write_csv(value, forced, single, out);
                }
                Some(value) => self.write_text(value, out),
            }
        }
        out.push(b'\n');
    }

    fn write_text(&self, value: &[u8], out: &mut Vec<u8>) {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'\\' || *byte == self.delimiter;
        let mut rest = value;
        while let Some(at) = rest.iter().position(special) {
            out.extend_from_slice(&rest[..at]);
            let letter = match rest[at] {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                byte => byte,
            };
            // Other control characters go as they are.
            if letter != rest[at] || letter == b'\\' || letter == self.delimiter {
                out.push(b'\\');
            }
            out.push(letter);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }

    fn write_csv(&self, value: &[u8], forced: bool, single: bool, out: &mut Vec<u8>) {
        let quoted = forced
            || value == self.null
            || single && value == b"\\."
            || value.iter().any(|b| *b == self.delimiter || *b == self.quote || matches!(b, b'\n' | b'\r'));
        if !quoted {
            return out.extend_from_slice(value);
        }
        out.push(self.quote);
        for byte in value {
            if *byte == self.quote || *byte == self.escape {
                out.push(self.escape);
            }
            out.push(*byte);
        }
        out.push(self.quote);
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
