//! COPY in PostgreSQL's binary file format: a header, rows of length-prefixed fields, a trailer.
//!
//! The reader takes bytes cut anywhere and believes no length before the bytes are there, so its memory is what was sent
//! and not yet read. Errors and their order are PostgreSQL's.

use super::CopyContext;
use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::text::ColumnText;

/// What every file begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Flags from this bit on must be understood.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// The flag of files that had object identifiers before each row.
const WITH_OIDS: u32 = 1 << 16;

/// A value's length that says NULL, and a count that says the end.
const NONE: i32 = -1;

/// Reads rows from chunks.
#[derive(Debug)]
pub struct BinaryReader {
    context: CopyContext,
    columns: Vec<String>,
    buffer: Vec<u8>,
    /// Start of what is not read yet.
    start: usize,
    started: bool,
    input_ended: bool,
    /// The trailer was read.
    done: bool,
    row: u64,
}

/// One row: its fields in order.
#[derive(Debug)]
pub struct BinaryRow<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for BinaryRow<'a> {
    /// `None` inside is NULL.
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.bytes.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.bytes = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.bytes = rest;
        Some(Some(value))
    }
}

fn bad(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message)
}

impl BinaryReader {
    /// A reader of rows with these columns. `relation` is for CONTEXT.
    pub fn new(relation: &str, columns: Vec<String>) -> Self {
        Self {
            context: CopyContext::new(relation),
            columns,
            buffer: Vec::new(),
            start: 0,
            started: false,
            input_ended: false,
            done: false,
            row: 0,
        }
    }

    /// The CONTEXT lines.
    pub fn context(&self) -> &CopyContext {
        &self.context
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Bytes taken and not read yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// No more bytes come.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// The next row and its number; `None` when bytes are missing, or at the end.
    pub fn next_row(&mut self) -> PgResult<Option<(u64, BinaryRow<'_>)>> {
        if !self.started && !self.header()? {
            return Ok(None);
        }
        let line = self.row + 1;
        let bytes = &self.buffer[self.start..];
        if self.done {
            if !bytes.is_empty() {
                return Err(bad("received copy data after EOF marker").context(self.context.line(line)));
            }
            return Ok(None);
        }
        let Some((count, rest)) = bytes.split_first_chunk::<2>() else {
            // Without a trailer the end of the data is the end.
            return self.missing(line, !bytes.is_empty());
        };
        let count = i16::from_be_bytes(*count);
        if i32::from(count) == NONE {
            self.done = true;
            self.start += 2;
            return self.next_row();
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            let message = format!("row field count is {count}, expected {}", self.columns.len());
            return Err(bad(message).context(self.context.line(line)));
        }
        let mut at = 0;
        for column in &self.columns {
            let Some(length) = rest.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
                return self.missing(line, true);
            };
            let length = i32::from_be_bytes(*length);
            if length < NONE {
                let context = format!("{}, column {column}", self.context.line(line));
                return Err(bad("invalid field size").context(context));
            }
            at += 4 + usize::try_from(length).unwrap_or(0);
            if rest.len() < at {
                return self.missing(line, true);
            }
        }
        self.row += 1;
        let from = self.start + 2;
        self.start = from + at;
        let row = BinaryRow { bytes: &self.buffer[from..self.start], left: self.columns.len() };
        Ok(Some((line, row)))
    }

    /// More bytes are needed; at the end of the input they will not come.
    fn missing(&self, line: u64, within: bool) -> PgResult<Option<(u64, BinaryRow<'_>)>> {
        if self.input_ended && within {
            return Err(bad("unexpected EOF in COPY data").context(self.context.line(line)));
        }
        Ok(None)
    }

    /// Reads the header; false while bytes are missing.
    fn header(&mut self) -> PgResult<bool> {
        let short = |message: &str, ended: bool| if ended { Err(bad(message)) } else { Ok(false) };
        let bytes = &self.buffer[self.start..];
        let known = bytes.len().min(SIGNATURE.len());
        if bytes[..known] != SIGNATURE[..known] || known < SIGNATURE.len() && self.input_ended {
            return Err(bad("COPY file signature not recognized"));
        }
        let Some(flags) = bytes.get(SIGNATURE.len()..).and_then(|rest| rest.first_chunk::<4>()) else {
            return short("invalid COPY file header (missing flags)", self.input_ended);
        };
        let flags = u32::from_be_bytes(*flags);
        if flags & WITH_OIDS != 0 {
            return Err(bad("invalid COPY file header (WITH OIDS)"));
        }
        if flags & CRITICAL_FLAGS != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let Some(length) = bytes.get(SIGNATURE.len() + 4..).and_then(|rest| rest.first_chunk::<4>()) else {
            return short("invalid COPY file header (missing length)", self.input_ended);
        };
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            return Err(bad("invalid COPY file header (missing length)"));
        };
        let end = SIGNATURE.len() + 8 + length;
        if bytes.len() < end {
            return short("invalid COPY file header (wrong length)", self.input_ended);
        }
        self.start += end;
        self.started = true;
        Ok(true)
    }
}

/// Appends the header.
pub fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// Appends one row of encoded columns.
pub fn write_row(columns: &[ColumnText], row: usize, out: &mut Vec<u8>) {
    let count = i16::try_from(columns.len()).expect("a table has at most 1,600 columns");
    out.extend_from_slice(&count.to_be_bytes());
    for column in columns {
        match column.value(row) {
            None => out.extend_from_slice(&NONE.to_be_bytes()),
            Some(value) => {
                let length = i32::try_from(value.len()).expect("a value has at most 64 MiB");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
}

/// Appends the trailer.
pub fn write_trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out);
        for row in rows {
            out.extend_from_slice(&i16::try_from(row.len()).expect("few").to_be_bytes());
            for field in *row {
                let length = field.map_or(-1, |field| i32::try_from(field.len()).expect("short"));
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(field.unwrap_or_default());
            }
        }
        write_trailer(&mut out);
        out
    }

    type Rows = Vec<Vec<Option<Vec<u8>>>>;

    /// All rows of chunks, or the message and context of the error.
    fn read(bytes: &[u8], chunk: usize) -> Result<Rows, (String, Option<String>)> {
        let mut reader = BinaryReader::new("t", vec!["a".to_owned(), "b".to_owned()]);
        let mut rows = Vec::new();
        let shown = |error: PgError| (error.message.clone(), error.context.clone());
        for piece in bytes.chunks(chunk) {
            reader.push(piece);
            while let Some((_, row)) = reader.next_row().map_err(shown)? {
                rows.push(row.map(|field| field.map(<[u8]>::to_vec)).collect());
            }
        }
        reader.end_input();
        while let Some((_, row)) = reader.next_row().map_err(shown)? {
            rows.push(row.map(|field| field.map(<[u8]>::to_vec)).collect());
        }
        Ok(rows)
    }

    #[test]
    fn chunks_may_end_anywhere() {
        let bytes = file(&[&[Some(b"12"), None], &[Some(b""), Some(b"a longer value")]]);
        let whole = read(&bytes, bytes.len()).expect("reads");
        assert_eq!(whole, [vec![Some(b"12".to_vec()), None], vec![Some(vec![]), Some(b"a longer value".to_vec())]]);
        for chunk in 1..bytes.len() {
            assert_eq!(read(&bytes, chunk).as_ref(), Ok(&whole), "{chunk}");
        }
        // The trailer may be missing.
        assert_eq!(read(&bytes[..bytes.len() - 2], 7), Ok(whole));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good = file(&[&[Some(b"1"), Some(b"2")]]);
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let line = Some("COPY t, line 1".to_owned());
        for (bytes, message, context) in [
            (changed(0, b'X'), "COPY file signature not recognized", None),
            (b"PGC".to_vec(), "COPY file signature not recognized", None),
            (good[..13].to_vec(), "invalid COPY file header (missing flags)", None),
            (changed(12, 1), "invalid COPY file header (WITH OIDS)", None),
            (changed(11, 1), "unrecognized critical flags in COPY file header", None),
            (good[..17].to_vec(), "invalid COPY file header (missing length)", None),
            (changed(20, 3), "row field count is 3, expected 2", line.clone()),
            (changed(21, 0x90), "invalid field size", Some("COPY t, line 1, column a".to_owned())),
            (good[..good.len() - 3].to_vec(), "unexpected EOF in COPY data", line.clone()),
            (
                [good.as_slice(), b"x"].concat(),
                "received copy data after EOF marker",
                Some("COPY t, line 2".to_owned()),
            ),
        ] {
            assert_eq!(read(&bytes, 5), Err((message.to_owned(), context)), "{bytes:?}");
        }
        // A length that promises a gigabyte reserves nothing.
        let error = read(&changed(21, 0x3f), 5).expect_err("the bytes do not come");
        assert_eq!(error.0, "unexpected EOF in COPY data");
    }
}
