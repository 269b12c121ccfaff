//! A line of COPY data cut into fields.
//!
//! A field that stands in the line as it is stays a slice of it; only escapes are written out, into one buffer that is
//! used again for every row.

use super::options::{CopyFormat, CopyOptions};
use crate::error::{PgError, PgResult};
use crate::input::string::check_utf8;
use crate::sqlstate;

/// Where a field's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Null,
    Line,
    Scratch,
    /// The NULL marker itself, for FORCE_NOT_NULL.
    Marker,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    place: Place,
    quoted: bool,
    start: usize,
    end: usize,
}

/// A row: its fields as text, NULL as `None`.
#[derive(Clone, Copy, Debug)]
pub struct CopyRow<'a> {
    /// Number of the row's last physical line, from 1.
    pub line: u64,
    /// The line as it came, for CONTEXT.
    pub raw: &'a str,
    fields: &'a Fields,
}

impl<'a> CopyRow<'a> {
    pub(crate) fn new(line: u64, raw: &'a str, fields: &'a Fields) -> Self {
        Self { line, raw, fields }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.spans.len()
    }

    /// Has it no fields?
    pub fn is_empty(&self) -> bool {
        self.fields.spans.is_empty()
    }

    /// A field; `None` is NULL. Panics if there is no such field, as indexing does.
    #[inline]
    pub fn field(&self, index: usize) -> Option<&'a str> {
        let span = self.fields.spans[index];
        match span.place {
            Place::Null => None,
            Place::Line => Some(&self.raw[span.start..span.end]),
            Place::Scratch => Some(&self.fields.scratch[span.start..span.end]),
            Place::Marker => Some(&self.fields.null),
        }
    }
}

/// The fields of one line, and the rules to find them.
#[derive(Debug)]
pub(crate) struct Fields {
    spans: Vec<Span>,
    scratch: String,
    piece: Vec<u8>,
    csv: bool,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: String,
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
}

impl Fields {
    pub(crate) fn new(options: &CopyOptions, force_not_null: Vec<bool>, force_null: Vec<bool>) -> Self {
        Self {
            spans: Vec::new(),
            scratch: String::new(),
            piece: Vec::new(),
            csv: options.format == CopyFormat::Csv,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone(),
            force_not_null,
            force_null,
        }
    }

    pub(crate) fn null_marker(&self) -> &str {
        &self.null
    }

    pub(crate) fn count(&self) -> usize {
        self.spans.len()
    }

    /// Cuts a line. `special` says whether it holds a backslash (text) or a quote (csv).
    pub(crate) fn split(&mut self, line: &str, special: bool) -> PgResult<()> {
        self.spans.clear();
        self.scratch.clear();
        match (self.csv, special) {
            (_, false) => self.split_plain(line),
            (false, true) => self.split_text(line)?,
            (true, true) => self.split_csv(line)?,
        }
        if self.csv && !(self.force_not_null.is_empty() && self.force_null.is_empty()) {
            self.force(line);
        }
        Ok(())
    }

    fn is_null(&self, raw: &str) -> bool {
        raw == self.null
    }

    fn push(&mut self, place: Place, quoted: bool, start: usize, end: usize) {
        self.spans.push(Span { place, quoted, start, end });
    }

    /// No escapes, no quotes: only delimiters matter.
    fn split_plain(&mut self, line: &str) {
        let delimiter = self.delimiter;
        let mut start = 0;
        let field = |fields: &mut Self, start: usize, end: usize| {
            let place = if fields.is_null(&line[start..end]) { Place::Null } else { Place::Line };
            fields.push(place, false, start, end);
        };
        for at in memchr::memchr_iter(delimiter, line.as_bytes()) {
            field(self, start, at);
            start = at + 1;
        }
        field(self, start, line.len());
    }

    fn split_text(&mut self, line: &str) -> PgResult<()> {
        let bytes = line.as_bytes();
        let mut start = 0;
        loop {
            // A backslash takes the next character with it, a delimiter too.
            let mut at = start;
            let mut escaped = false;
            while let Some(found) = memchr::memchr2(self.delimiter, b'\\', &bytes[at..]) {
                at += found;
                if bytes[at] == self.delimiter {
                    break;
                }
                escaped = true;
                at = (at + 2).min(bytes.len());
            }
            if at >= bytes.len() || bytes[at] != self.delimiter {
                at = bytes.len();
            }
            let end = at.min(bytes.len());
            let raw = &line[start..end];
            if self.is_null(raw) {
                self.push(Place::Null, false, start, end);
            } else if escaped {
                self.unescape(raw.as_bytes())?;
            } else {
                self.push(Place::Line, false, start, end);
            }
            if at >= bytes.len() {
                return Ok(());
            }
            start = at + 1;
        }
    }

    /// Writes out a field with backslash escapes.
    fn unescape(&mut self, raw: &[u8]) -> PgResult<()> {
        self.piece.clear();
        let mut at = 0;
        while at < raw.len() {
            let byte = raw[at];
            at += 1;
            if byte != b'\\' || at == raw.len() {
                self.piece.push(byte);
                continue;
            }
            let letter = raw[at];
            at += 1;
            let octal = |byte: Option<&u8>| byte.filter(|b| matches!(b, b'0'..=b'7')).map(|b| u32::from(b - b'0'));
            let hexadecimal = |byte: Option<&u8>| byte.and_then(|b| (*b as char).to_digit(16));
            let value = match letter {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                b'0'..=b'7' => {
                    let mut code = u32::from(letter - b'0');
                    for _ in 0..2 {
                        let Some(digit) = octal(raw.get(at)) else { break };
                        code = code << 3 | digit;
                        at += 1;
                    }
                    (code & 0xFF) as u8
                }
                b'x' => match hexadecimal(raw.get(at)) {
                    Some(mut code) => {
                        at += 1;
                        if let Some(digit) = hexadecimal(raw.get(at)) {
                            code = code << 4 | digit;
                            at += 1;
                        }
                        code as u8
                    }
                    None => b'x',
                },
                other => other,
            };
            self.piece.push(value);
        }
        let start = self.scratch.len();
        self.scratch.push_str(check_utf8(&self.piece)?);
        self.push(Place::Scratch, false, start, self.scratch.len());
        Ok(())
    }

    fn split_csv(&mut self, line: &str) -> PgResult<()> {
        let bytes = line.as_bytes();
        let mut start = 0;
        loop {
            let plain = memchr::memchr2(self.delimiter, self.quote, &bytes[start..]);
            let at = start + plain.unwrap_or(bytes.len() - start);
            let end = if at < bytes.len() && bytes[at] == self.quote {
                self.quoted_field(line, start, at)?
            } else {
                let place = if self.is_null(&line[start..at]) { Place::Null } else { Place::Line };
                self.push(place, false, start, at);
                at
            };
            if end >= bytes.len() {
                return Ok(());
            }
            start = end + 1;
        }
    }

    /// A field with a quote at `open`; gives the position of the delimiter behind it, or the end.
    fn quoted_field(&mut self, line: &str, start: usize, open: usize) -> PgResult<usize> {
        let bytes = line.as_bytes();
        // The common case: quotes around all of it, none inside.
        if open == start {
            let inside = &bytes[open + 1..];
            let close = memchr::memchr2(self.quote, self.escape, inside);
            if let Some(length) = close
                && inside[length] == self.quote
                && inside.get(length + 1).is_none_or(|b| *b == self.delimiter)
            {
                self.push(Place::Line, true, open + 1, open + 1 + length);
                return Ok(open + length + 2);
            }
        }
        self.piece.clear();
        self.piece.extend_from_slice(&bytes[start..open]);
        let mut at = open;
        let mut in_quotes = false;
        while let Some(&byte) = bytes.get(at) {
            if !in_quotes {
                if byte == self.delimiter {
                    break;
                }
                if byte == self.quote {
                    in_quotes = true;
                } else {
                    self.piece.push(byte);
                }
            } else if byte == self.escape
                && let Some(next) = bytes.get(at + 1).copied().filter(|b| *b == self.escape || *b == self.quote)
            {
                self.piece.push(next);
                at += 1;
            } else if byte == self.quote {
                in_quotes = false;
            } else {
                self.piece.push(byte);
            }
            at += 1;
        }
        if in_quotes {
            return Err(PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
        }
        let from = self.scratch.len();
        // Only ASCII characters were taken out of valid UTF-8.
        self.scratch.push_str(check_utf8(&self.piece)?);
        self.push(Place::Scratch, true, from, self.scratch.len());
        Ok(at)
    }

    /// FORCE_NOT_NULL and FORCE_NULL.
    fn force(&mut self, line: &str) {
        for (index, span) in self.spans.iter_mut().enumerate() {
            let flag = |flags: &[bool]| flags.get(index).copied().unwrap_or(false);
            if span.place == Place::Null {
                if flag(&self.force_not_null) {
                    span.place = Place::Marker;
                }
            } else if span.quoted && flag(&self.force_null) {
                let text = match span.place {
                    Place::Line => &line[span.start..span.end],
                    _ => &self.scratch[span.start..span.end],
                };
                if text == self.null {
                    span.place = Place::Null;
                }
            }
        }
    }
}
