//! COPY FROM in JSON format: one object a line, rows out.
//!
//! A member goes to the column of its name, as text for the column's own parser: numbers keep every digit, `[1, null]`
//! is `{1,NULL}` for a column of arrays, and a column of type json or jsonb takes any value as it is. A column without a
//! member is NULL, and so is one whose member is `null`; of members with one name the last counts. Blank lines are
//! skipped. Memory is one chunk and one line. Limit: a line may have 1 GB (54000).

use super::CopyContext;
use crate::error::{PgError, PgResult};
use crate::input::json::{Json, parse_json, write_string};
use crate::input::string::check_utf8;
use crate::sqlstate;
use crate::types::{TypeKind, TypeRef};

/// Longest line.
const LINE_BYTES_MAX: usize = 1 << 30;

/// What becomes of members that are no column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownMember {
    /// 22P04: nothing of the data may be lost unnoticed.
    Refuse,
    /// They are left out, as columns a query does not name.
    Ignore,
}

/// How a column takes JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    Array,
    Json,
}

/// Reads rows from chunks.
#[derive(Debug)]
pub struct JsonReader {
    context: CopyContext,
    columns: Vec<String>,
    shapes: Vec<Shape>,
    unknown: UnknownMember,
    buffer: Vec<u8>,
    /// Start of the current line.
    start: usize,
    /// Bytes before this hold no line end.
    scanned: usize,
    line: u64,
    input_ended: bool,
    /// Of the last row.
    fields: Vec<Option<String>>,
}

/// A row; its texts are for the columns' parsers.
#[derive(Clone, Copy, Debug)]
pub struct JsonRow<'a> {
    /// Line of the input, from 1.
    pub line: u64,
    /// The line.
    pub raw: &'a str,
    /// Text of each column, `None` for NULL.
    pub fields: &'a [Option<String>],
}

impl JsonReader {
    /// A reader for these columns and their types. `relation` is for CONTEXT.
    pub fn new(relation: &str, columns: Vec<(String, TypeRef)>, unknown: UnknownMember) -> Self {
        Self::with_context(CopyContext::new(relation), columns, unknown)
    }

    /// The same for data that is no COPY.
    pub fn with_context(context: CopyContext, columns: Vec<(String, TypeRef)>, unknown: UnknownMember) -> Self {
        let (columns, shapes) = columns
            .into_iter()
            .map(|(name, ty)| {
                let shape = match ty.kind {
                    TypeKind::Json | TypeKind::Jsonb => Shape::Json,
                    TypeKind::Array => Shape::Array,
                    _ => Shape::Plain,
                };
                (name, shape)
            })
            .unzip();
        Self {
            context,
            columns,
            shapes,
            unknown,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            line: 0,
            input_ended: false,
            fields: Vec::new(),
        }
    }

    /// The CONTEXT lines of this COPY.
    pub fn context(&self) -> &CopyContext {
        &self.context
    }

    /// The target columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Gives the reader more bytes. Call [`JsonReader::next_row`] until it has no more rows, then push again.
    pub fn push(&mut self, chunk: &[u8]) {
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

    /// The next row, or `None` when more bytes are needed or all is read. After an error the reader is of no more use.
    pub fn next_row(&mut self) -> PgResult<Option<JsonRow<'_>>> {
        let (start, end) = loop {
            match self.next_line()? {
                None => return Ok(None),
                Some((start, end)) if self.buffer[start..end].iter().all(u8::is_ascii_whitespace) => {}
                Some(range) => break range,
            }
        };
        let (context, line, bytes) = (&self.context, self.line, &self.buffer[start..end]);
        let raw = check_utf8(bytes).map_err(|error| error.context(context.line(line)))?;
        let targets = Targets { columns: &self.columns, shapes: &self.shapes, unknown: self.unknown };
        self.fields.clear();
        self.fields.resize(self.columns.len(), None);
        targets.take(raw, &mut self.fields).map_err(|error| error.context(context.line_text(line, bytes)))?;
        Ok(Some(JsonRow { line, raw, fields: &self.fields }))
    }

    /// Finds the next line; gives its range without its end.
    fn next_line(&mut self) -> PgResult<Option<(usize, usize)>> {
        let found = memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|offset| self.scanned + offset);
        let (start, end) = match found {
            Some(end) => {
                let start = std::mem::replace(&mut self.start, end + 1);
                self.scanned = end + 1;
                (start, end)
            }
            None => {
                self.scanned = self.buffer.len();
                if !self.input_ended || self.start == self.buffer.len() {
                    return self.check_length().map(|()| None);
                }
                (std::mem::replace(&mut self.start, self.buffer.len()), self.buffer.len())
            }
        };
        self.line += 1;
        let end = if end > start && self.buffer[end - 1] == b'\r' { end - 1 } else { end };
        Ok(Some((start, end)))
    }

    fn check_length(&self) -> PgResult<()> {
        if self.buffered() <= LINE_BYTES_MAX {
            return Ok(());
        }
        Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "COPY line is too long")
            .detail(format!("A line has at most {LINE_BYTES_MAX} bytes."))
            .context(self.context.line(self.line + 1)))
    }
}

/// The columns a line is for.
struct Targets<'a> {
    columns: &'a [String],
    shapes: &'a [Shape],
    unknown: UnknownMember,
}

impl Targets<'_> {
    fn take(&self, raw: &str, fields: &mut [Option<String>]) -> PgResult<()> {
        let shape_error = |message: String| PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message);
        let Json::Object(members) = parse_json(raw)? else {
            return Err(shape_error("line is not a JSON object".to_owned())
                .hint("The format is one object a line, without an array around them."));
        };
        for (key, value) in members {
            match self.columns.iter().position(|column| *column == key) {
                Some(at) => fields[at] = text_for(self.shapes[at], &value)?,
                None if self.unknown == UnknownMember::Ignore => {}
                None => return Err(shape_error(format!("JSON member \"{key}\" is not a column of the target"))),
            }
        }
        Ok(())
    }
}

/// A value as text for the parser of a column of this shape.
fn text_for(shape: Shape, value: &Json<'_>) -> PgResult<Option<String>> {
    let mut out = String::new();
    match (shape, value) {
        (_, Json::Null) => return Ok(None),
        (Shape::Json, value) => write_json(value, &mut out),
        (Shape::Array, Json::Array(items)) => write_array(items, &mut out)?,
        (_, value) => plain_text(value, &mut out)?,
    }
    Ok(Some(out))
}

fn plain_text(value: &Json<'_>, out: &mut String) -> PgResult<()> {
    match value {
        Json::String(text) if text.contains('\0') => {
            return Err(PgError::new(sqlstate::UNTRANSLATABLE_CHARACTER, "unsupported Unicode escape sequence")
                .detail("\\u0000 cannot be converted to text."));
        }
        Json::String(text) => out.push_str(text),
        other => write_json(other, out),
    }
    Ok(())
}

/// JSON text without blanks, members in the order written.
fn write_json(value: &Json<'_>, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => out.push_str(number),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write_json(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Json::Object(members) => {
            for (index, (key, item)) in members.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                write_string(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
    }
}

/// A JSON array as PostgreSQL writes arrays.
fn write_array(items: &[Json<'_>], out: &mut String) -> PgResult<()> {
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Json::Null => out.push_str("NULL"),
            Json::Array(inner) => write_array(inner, out)?,
            other => {
                let mut text = String::new();
                plain_text(other, &mut text)?;
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{known, oid};

    fn reader(unknown: UnknownMember) -> JsonReader {
        let columns = [("a", oid::INT4), ("b", oid::TEXT), ("c", oid::JSON), ("d", oid::INT4_ARRAY)];
        let columns = columns.map(|(name, of)| (name.to_owned(), known(of)));
        JsonReader::new("t", columns.into(), unknown)
    }

    fn rows(data: &[u8], chunk: usize, unknown: UnknownMember) -> PgResult<Vec<(u64, Vec<Option<String>>)>> {
        let mut reader = reader(unknown);
        let mut out = Vec::new();
        for chunk in data.chunks(chunk) {
            reader.push(chunk);
            while let Some(row) = reader.next_row()? {
                out.push((row.line, row.fields.to_vec()));
            }
        }
        reader.end_input();
        while let Some(row) = reader.next_row()? {
            out.push((row.line, row.fields.to_vec()));
        }
        Ok(out)
    }

    #[test]
    fn members_go_to_their_columns_whatever_the_chunks() {
        let data = "{\"a\": 1, \"b\": \"x\\ny\", \"c\": {\"k\": [1, 2.50]}, \"d\": [1, null, 3]}\r\n\n  \n\
                    {\"b\": 12345678901234567890.1234567890, \"a\": \"7\", \"a\": true}\n\
                    {\"c\": \"text\", \"d\": [[1], [2]]}\n{\"c\": null, \"b\": [1, \"q\"]}\n{}";
        let text = |text: &str| Some(text.to_owned());
        let expected = vec![
            (1, vec![text("1"), text("x\ny"), text("{\"k\":[1,2.50]}"), text("{\"1\",NULL,\"3\"}")]),
            (4, vec![text("true"), text("12345678901234567890.1234567890"), None, None]),
            (5, vec![None, None, text("\"text\""), text("{{\"1\"},{\"2\"}}")]),
            (6, vec![None, text("[1,\"q\"]"), None, None]),
            (7, vec![None, None, None, None]),
        ];
        for chunk in [1, 2, 3, 7, 1000] {
            assert_eq!(rows(data.as_bytes(), chunk, UnknownMember::Refuse).unwrap(), expected, "{chunk}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases: [(&[u8], &str, &str, &str); 9] = [
            (b"{}\n[1]\n", "22P04", "line is not a JSON object", "COPY t, line 2: \"[1]\""),
            (b"{}\n7", "22P04", "line is not a JSON object", "COPY t, line 2: \"7\""),
            (b"{\"a\": 1", "22P02", "invalid input syntax for type json", "COPY t, line 1: \"{\"a\": 1\""),
            (b"{\"a\": 1} x", "22P02", "invalid input syntax for type json", "COPY t, line 1: \"{\"a\": 1} x\""),
            (b"{\"a\": nul}", "22P02", "invalid input syntax for type json", "COPY t, line 1: \"{\"a\": nul}\""),
            (
                b"{\"z\": 1}",
                "22P04",
                "JSON member \"z\" is not a column of the target",
                "COPY t, line 1: \"{\"z\": 1}\"",
            ),
            (
                b"{\"b\": \"\\u0000\"}",
                "22P05",
                "unsupported Unicode escape sequence",
                "COPY t, line 1: \"{\"b\": \"\\u0000\"}\"",
            ),
            (b"{}\n{\"b\": \"\xff\"}", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff", "COPY t, line 2"),
            (b"\x00", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00", "COPY t, line 1"),
        ];
        for (data, code, message, context) in cases {
            let error = rows(data, 3, UnknownMember::Refuse).unwrap_err();
            let last = error.context.as_deref().and_then(|context| context.lines().last()).unwrap_or_default();
            assert_eq!((error.code.as_str(), error.message.as_str(), last), (code, message, context));
        }
        let ignored = rows(b"{\"z\": 1, \"a\": 2}", 100, UnknownMember::Ignore).unwrap();
        assert_eq!(ignored, [(1, vec![Some("2".to_owned()), None, None, None])]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let line = b"{\"a\": [1, {\"b\": \"\\u00e9\\ud83d\\ude00\"}], \"c\": -1.5e3, \"d\": [\"x\\\"\", null]}\n";
        for cut in 0..line.len() {
            for byte in [0, b'"', b'{', b'\\', 0x80, 0xff, b'\n'] {
                let mut damaged = line.to_vec();
                damaged[cut] = byte;
                let whole = rows(&damaged, 1000, UnknownMember::Ignore);
                let pieces = rows(&damaged, 1, UnknownMember::Ignore);
                assert_eq!(whole.is_ok(), pieces.is_ok(), "byte {byte} at {cut}");
                rows(&damaged[..cut], 1000, UnknownMember::Ignore).ok();
            }
        }
        let deep = "[".repeat(100_000);
        assert_eq!(rows(deep.as_bytes(), 1 << 20, UnknownMember::Ignore).unwrap_err().code.as_str(), "54001");
    }
}
