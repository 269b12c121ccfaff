//! COPY FROM in text and csv format: bytes in any chunks, rows out.
//!
//! Promises PostgreSQL's rules for line ends, the end marker `\.`, quotes and escapes, its errors and their CONTEXT.
//! Memory is one chunk and one line. Limit: a line may have 1 GB (54000).

use super::CopyContext;
use super::fields::{CopyRow, Fields};
use super::options::{CopyFormat, CopyHeader, CopyOptions, name_flags};
use crate::error::{PgError, PgResult};
use crate::input::string::check_utf8;
use crate::sqlstate;

/// Longest line.
const LINE_BYTES_MAX: usize = 1 << 30;

/// How lines end; the first line decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    Both,
}

/// Reads rows from chunks.
#[derive(Debug)]
pub struct CopyReader {
    context: CopyContext,
    columns: Vec<String>,
    fields: Fields,
    csv: bool,
    quote: u8,
    escape: Option<u8>,
    header: CopyHeader,
    buffer: Vec<u8>,
    /// Start of the current line.
    start: usize,
    /// Bytes before this are scanned.
    scanned: usize,
    in_quotes: bool,
    escape_before: bool,
    /// Has the current line a backslash (text) or quote (csv)?
    special: bool,
    line_end: LineEnd,
    line: u64,
    input_ended: bool,
    done: bool,
}

/// A line found: its range in the buffer and where the next one starts.
struct Line {
    start: usize,
    end: usize,
    special: bool,
}

/// What a look at one byte decides.
enum Step {
    /// Go on behind this many bytes.
    Skip(usize),
    /// The line ends here; the next starts this many bytes later.
    End(usize),
    /// The end marker: nothing more is read.
    Marker,
    /// More bytes are needed.
    Wait,
}

impl CopyReader {
    /// A reader for these options and target columns, in their order in the data. `relation` is for CONTEXT.
    /// 42703 if FORCE_NULL or FORCE_NOT_NULL names another column; the binary format has its own reader.
    pub fn new(options: &CopyOptions, relation: &str, columns: Vec<String>) -> PgResult<Self> {
        Self::build(options, CopyContext::new(relation), Some(relation), columns)
    }

    /// A reader of a file whose columns its first line tells: call [`CopyReader::next_names`], then
    /// [`CopyReader::set_columns`].
    pub fn of_file(options: &CopyOptions, context: CopyContext) -> PgResult<Self> {
        Self::build(options, context, None, Vec::new())
    }

    fn build(
        options: &CopyOptions,
        context: CopyContext,
        relation: Option<&str>,
        columns: Vec<String>,
    ) -> PgResult<Self> {
        if !matches!(options.format, CopyFormat::Text | CopyFormat::Csv) {
            return Err(PgError::internal("this format has its own reader"));
        }
        let flags = |names: &[String]| {
            if names.is_empty() { Ok(Vec::new()) } else { name_flags(names, &columns, relation) }
        };
        let fields = Fields::new(options, flags(&options.force_not_null)?, flags(&options.force_null)?);
        Ok(Self {
            context,
            columns,
            fields,
            csv: options.format == CopyFormat::Csv,
            quote: options.quote,
            // An escape that is the quote itself needs no state of its own.
            escape: (options.escape != options.quote).then_some(options.escape),
            header: options.header,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            in_quotes: false,
            escape_before: false,
            special: false,
            line_end: LineEnd::Unknown,
            line: 0,
            input_ended: false,
            done: false,
        })
    }

    /// The CONTEXT lines of this COPY.
    pub fn context(&self) -> &CopyContext {
        &self.context
    }

    /// The target columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The fields of the next line, whatever their number; `None` when more bytes are needed or all is read.
    pub fn next_names(&mut self) -> PgResult<Option<Vec<String>>> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        self.split(&line)?;
        let raw = std::str::from_utf8(self.raw(&line)).map_err(|_| PgError::internal("a checked line is no UTF-8"))?;
        let row = CopyRow::new(self.line, raw, &self.fields);
        Ok(Some((0..row.len()).map(|index| row.field(index).unwrap_or_default().to_owned()).collect()))
    }

    /// Says which columns the lines have, in order.
    pub fn set_columns(&mut self, columns: Vec<String>) {
        self.columns = columns;
    }

    /// Gives the reader more bytes. Call [`CopyReader::next_row`] until it has no more rows, then push again.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.done {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// Bytes taken and not read yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Says that no more bytes come.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Was the end marker or the end of the input reached?
    pub fn finished(&self) -> bool {
        self.done
    }

    /// The next row, or `None` when more bytes are needed or all is read. After an error the reader is of no more use.
    pub fn next_row(&mut self) -> PgResult<Option<CopyRow<'_>>> {
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            let header = self.header;
            if header == CopyHeader::Present {
                // Not looked at, but what is no text is not one line and then rows.
                self.text(&line)?;
                self.header = CopyHeader::Absent;
                continue;
            }
            self.split(&line)?;
            if header == CopyHeader::Match {
                self.header = CopyHeader::Absent;
                self.match_header(&line)?;
                continue;
            }
            self.check_count(&line)?;
            let raw = std::str::from_utf8(&self.buffer[line.start..line.end])
                .map_err(|_| PgError::internal("a checked line is no UTF-8"))?;
            return Ok(Some(CopyRow::new(self.line, raw, &self.fields)));
        }
    }

    fn raw(&self, line: &Line) -> &[u8] {
        &self.buffer[line.start..line.end]
    }

    fn shape_error(&self, message: impl Into<String>, line: &Line) -> PgError {
        PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message).context(self.context.line_text(self.line, self.raw(line)))
    }

    fn text(&self, line: &Line) -> PgResult<&str> {
        check_utf8(self.raw(line)).map_err(|error| error.context(self.context.line(self.line)))
    }

    fn split(&mut self, line: &Line) -> PgResult<()> {
        let bytes = &self.buffer[line.start..line.end];
        let text = check_utf8(bytes).map_err(|error| error.context(self.context.line(self.line)))?;
        self.fields.split(text, line.special).map_err(|error| error.context(self.context.line_text(self.line, bytes)))
    }

    fn check_count(&self, line: &Line) -> PgResult<()> {
        let (found, expected) = (self.fields.count(), self.columns.len());
        if found == expected {
            return Ok(());
        }
        // A table without columns has empty lines.
        if expected == 0 && line.start == line.end {
            return Ok(());
        }
        if found > expected {
            return Err(self.shape_error("extra data after last expected column", line));
        }
        Err(self.shape_error(format!("missing data for column \"{}\"", self.columns[found]), line))
    }

    fn match_header(&self, line: &Line) -> PgResult<()> {
        let (found, expected) = (self.fields.count(), self.columns.len());
        if found != expected {
            let message = format!("wrong number of fields in header line: field count is {found}, expected {expected}");
            return Err(self.shape_error(message, line));
        }
        let raw = std::str::from_utf8(self.raw(line)).map_err(|_| PgError::internal("a checked line is no UTF-8"))?;
        let row = CopyRow::new(self.line, raw, &self.fields);
        for (index, column) in self.columns.iter().enumerate() {
            let got = match row.field(index) {
                Some(name) if name == column => continue,
                Some(name) => format!("got \"{name}\""),
                None => format!("got null value (\"{}\")", self.fields.null_marker()),
            };
            let message =
                format!("column name mismatch in header line field {}: {got}, expected \"{column}\"", index + 1);
            return Err(self.shape_error(message, line));
        }
        Ok(())
    }

    /// Finds the next line's end.
    fn next_line(&mut self) -> PgResult<Option<Line>> {
        if self.done {
            return Ok(None);
        }
        loop {
            self.skip_plain();
            if self.scanned >= self.buffer.len() {
                if !self.input_ended {
                    self.check_length()?;
                    return Ok(None);
                }
                self.done = true;
                // The last line may come without a line end.
                return Ok((self.start < self.buffer.len()).then(|| self.take_line(self.buffer.len(), 0)));
            }
            match self.step()? {
                Step::Skip(bytes) => self.scanned += bytes,
                Step::End(bytes) => return Ok(Some(self.take_line(self.scanned, bytes))),
                Step::Marker => {
                    self.done = true;
                    return Ok((self.start < self.scanned).then(|| self.take_line(self.scanned, 0)));
                }
                Step::Wait => {
                    self.check_length()?;
                    return Ok(None);
                }
            }
        }
    }

    fn check_length(&self) -> PgResult<()> {
        if self.buffer.len() - self.start <= LINE_BYTES_MAX {
            return Ok(());
        }
        Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "COPY line is too long")
            .detail(format!("A line has at most {LINE_BYTES_MAX} bytes."))
            .context(self.context.line(self.line + 1)))
    }

    fn take_line(&mut self, end: usize, terminator_bytes: usize) -> Line {
        let line = Line { start: self.start, end, special: self.special };
        self.start = end + terminator_bytes;
        self.scanned = self.start;
        self.special = false;
        self.in_quotes = false;
        self.escape_before = false;
        self.line += 1;
        line
    }

    /// Moves over bytes that mean nothing to the line's shape.
    #[inline]
    fn skip_plain(&mut self) {
        let rest = &self.buffer[self.scanned..];
        let plain = if !self.csv {
            memchr::memchr3(b'\n', b'\r', b'\\', rest)
        } else if self.escape.is_none() && (self.in_quotes || rest.first() != Some(&b'\\')) {
            // A backslash means something at a line's start only. Line ends inside quotes are counted.
            memchr::memchr3(b'\n', b'\r', self.quote, rest)
        } else {
            return;
        };
        self.scanned += plain.unwrap_or(rest.len());
    }

    fn step(&mut self) -> PgResult<Step> {
        let byte = self.buffer[self.scanned];
        if self.csv {
            self.track_quotes(byte);
        }
        match byte {
            b'\r' if !self.in_quotes => self.carriage_return(),
            b'\n' if !self.in_quotes => {
                if matches!(self.line_end, LineEnd::Return | LineEnd::Both) {
                    return Err(self.stray("newline", "n"));
                }
                self.line_end = LineEnd::Newline;
                Ok(Step::End(1))
            }
            b'\\' if !self.csv || self.scanned == self.start => self.backslash(),
            _ => Ok(Step::Skip(1)),
        }
    }

    fn track_quotes(&mut self, byte: u8) {
        if self.in_quotes && Some(byte) == self.escape {
            self.escape_before = !self.escape_before;
        }
        if byte == self.quote {
            self.special = true;
            if !self.escape_before {
                self.in_quotes = !self.in_quotes;
            }
        }
        if Some(byte) != self.escape {
            self.escape_before = false;
        }
        // Lines inside quotes count, by the kind of line end in use.
        let end = if self.line_end == LineEnd::Newline { b'\n' } else { b'\r' };
        if self.in_quotes && byte == end {
            self.line += 1;
        }
    }

    fn carriage_return(&mut self) -> PgResult<Step> {
        if self.line_end == LineEnd::Newline {
            return Err(self.stray("carriage return", "r"));
        }
        if self.line_end == LineEnd::Return {
            return Ok(Step::End(1));
        }
        match self.buffer.get(self.scanned + 1) {
            Some(b'\n') => {
                self.line_end = LineEnd::Both;
                Ok(Step::End(2))
            }
            None if !self.input_ended => Ok(Step::Wait),
            _ if self.line_end == LineEnd::Both => Err(self.stray("carriage return", "r")),
            _ => {
                self.line_end = LineEnd::Return;
                Ok(Step::End(1))
            }
        }
    }

    /// A line end of another kind than before.
    #[cold]
    fn stray(&self, what: &str, letter: &str) -> PgError {
        let (message, hint) = if self.csv {
            (format!("unquoted {what} found in data"), format!("Use quoted CSV field to represent {what}."))
        } else {
            (format!("literal {what} found in data"), format!("Use \"\\{letter}\" to represent {what}."))
        };
        PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message).hint(hint).context(self.context.line(self.line + 1))
    }

    #[cold]
    fn bad_marker(&self, message: &str) -> PgError {
        PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message).context(self.context.line(self.line + 1))
    }

    /// A backslash: the end marker, or an escape that takes the next byte with it.
    fn backslash(&mut self) -> PgResult<Step> {
        let rest = &self.buffer[self.scanned + 1..];
        let ended = self.input_ended;
        match rest.first() {
            None if !ended => return Ok(Step::Wait),
            None => {
                self.special |= !self.csv;
                return Ok(Step::Skip(1));
            }
            Some(b'.') => {}
            Some(_) => {
                self.special |= !self.csv;
                // In csv a backslash is an ordinary character.
                return Ok(Step::Skip(if self.csv { 1 } else { 2 }));
            }
        }
        let mut after = &rest[1..];
        if self.line_end == LineEnd::Both {
            match after.first() {
                None if !ended => return Ok(Step::Wait),
                Some(b'\r') => after = &after[1..],
                Some(b'\n') if !self.csv => {
                    return Err(self.bad_marker("end-of-copy marker does not match previous newline style"));
                }
                _ if !self.csv => return Err(self.bad_marker("end-of-copy marker corrupt")),
                _ => return Ok(Step::Skip(1)),
            }
        }
        match after.first() {
            None if !ended => Ok(Step::Wait),
            Some(b'\r' | b'\n') => {
                let matches = match self.line_end {
                    LineEnd::Newline | LineEnd::Both => after[0] == b'\n',
                    LineEnd::Return => after[0] == b'\r',
                    LineEnd::Unknown => true,
                };
                if matches {
                    Ok(Step::Marker)
                } else {
                    Err(self.bad_marker("end-of-copy marker does not match previous newline style"))
                }
            }
            _ if self.csv => Ok(Step::Skip(1)),
            _ => Err(self.bad_marker("end-of-copy marker corrupt")),
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
