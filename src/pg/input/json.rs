//! Input of json and jsonb.
//!
//! json is checked and kept as given. jsonb is stored as canonical text: keys by length then bytes, the last of equal
//! keys, `", "` and `": "`, numbers with their decimals. Errors have PostgreSQL's DETAIL and CONTEXT. Limit: values may
//! nest 1,000 deep (54001), so that no input can exhaust the stack.

use std::borrow::Cow;

use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// Deepest nesting.
pub const DEPTH_MAX: usize = 1000;
/// Most digits that an exponent may spread a jsonb number over.
const NUMBER_DIGITS_MAX: usize = 1000;
/// Characters of the offending line that CONTEXT shows.
const CONTEXT_CHARS: usize = 50;

/// A JSON value. Numbers keep their text.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// null
    Null,
    /// true, false
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// Members in the order written, duplicates included.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Checks that text is JSON. 22P02.
pub fn check_json(text: &str) -> PgResult<()> {
    Parser::new(text, false).document().map(|_| ())
}

/// Parses JSON. 22P02.
pub fn parse_json(text: &str) -> PgResult<Json<'_>> {
    Parser::new(text, true).document()
}

/// The canonical text of a jsonb. 22P02; 22P05 for `\u0000`; 22003 for numbers beyond numeric's range.
pub fn canonical_jsonb(text: &str) -> PgResult<String> {
    let value = parse_json(text)?;
    let mut out = String::with_capacity(text.len() + 8);
    write_canonical(value, &mut out)?;
    Ok(out)
}

/// Appends a value's canonical text.
pub fn write_canonical(value: Json<'_>, out: &mut String) -> PgResult<()> {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => write_number(number, out)?,
        Json::String(text) => write_string(&text, out),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_canonical(item, out)?;
            }
            out.push(']');
        }
        Json::Object(mut members) => {
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            let mut kept: Vec<(Cow<'_, str>, Json<'_>)> = Vec::with_capacity(members.len());
            for member in members {
                match kept.last_mut() {
                    Some(last) if last.0 == member.0 => *last = member,
                    _ => kept.push(member),
                }
            }
            out.push('{');
            for (index, (key, item)) in kept.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_string(&key, out);
                out.push_str(": ");
                write_canonical(item, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Appends a string in quotes, escaped as PostgreSQL does.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number without exponent, its decimals kept.
fn write_number(number: &str, out: &mut String) -> PgResult<()> {
    let overflow = || PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
    let (negative, rest) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| overflow())?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if negative && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        out.push('-');
    }
    if exponent == 0 {
        out.push_str(mantissa);
        return Ok(());
    }
    if exponent.unsigned_abs() > NUMBER_DIGITS_MAX as u64 {
        return Err(overflow());
    }
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent;
    let (before, after) = if point <= 0 {
        ("0".to_owned(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
    } else if point as usize >= digits.len() {
        (format!("{digits}{}", "0".repeat(point as usize - digits.len())), String::new())
    } else {
        (digits[..point as usize].to_owned(), digits[point as usize..].to_owned())
    };
    let before = before.trim_start_matches('0');
    out.push_str(if before.is_empty() { "0" } else { before });
    if !after.is_empty() {
        out.push('.');
        out.push_str(&after);
    }
    Ok(())
}

/// What the parser expected where it found something else.
#[derive(Clone, Copy)]
enum Expected {
    Value,
    ArrayNext,
    ObjectFirst,
    ObjectNext,
    Key,
    Colon,
    End,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Are values wanted, or only the check?
    build: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, build: bool) -> Self {
        Self { text, at: 0, depth: 0, build }
    }

    fn document(mut self) -> PgResult<Json<'a>> {
        let value = self.value()?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.unexpected(Expected::End));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> PgResult<Json<'a>> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let end = self.word_end();
                let value = match &self.text[self.at..end] {
                    "null" => Json::Null,
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    _ => return Err(self.unexpected(Expected::Value)),
                };
                self.at = end;
                Ok(value)
            }
        }
    }

    fn nested(&mut self, read: impl Fn(&mut Self) -> PgResult<Json<'a>>) -> PgResult<Json<'a>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                .detail(format!("JSON values may nest {DEPTH_MAX} deep.")));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> PgResult<Json<'a>> {
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            let item = self.value()?;
            if self.build {
                items.push(item);
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return Err(self.unexpected(Expected::ArrayNext)),
            }
        }
    }

    fn object(&mut self) -> PgResult<Json<'a>> {
        let mut members = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        let mut expected = Expected::ObjectFirst;
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(expected));
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected(Expected::Colon));
            }
            self.at += 1;
            let item = self.value()?;
            if self.build {
                members.push((key, item));
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return Err(self.unexpected(Expected::ObjectNext)),
            }
            expected = Expected::Key;
        }
    }

    fn number(&mut self) -> PgResult<Json<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = start + usize::from(bytes[start] == b'-');
        let mut good = true;
        match digits(end) {
            0 => good = false,
            _ if bytes[end] == b'0' => end += 1,
            count => end += count,
        }
        if bytes.get(end) == Some(&b'.') {
            let count = digits(end + 1);
            good &= count > 0;
            end += 1 + count;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let count = digits(end + 1 + sign);
            good &= count > 0;
            end += 1 + sign + count;
        }
        // Letters or digits that follow at once belong to the token, and spoil it.
        let tail = self.text[end..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()));
        let token_end = end + tail.unwrap_or(self.text.len() - end);
        if !good || token_end != end {
            return Err(self.invalid_token(token_end));
        }
        self.at = end;
        Ok(Json::Number(&self.text[start..end]))
    }

    fn string(&mut self) -> PgResult<Cow<'a, str>> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => break,
                Some(byte) if *byte < b' ' => break,
                Some(_) => at += 1,
                None => return Err(self.invalid_token(self.text.len())),
            }
        }
        self.escaped_string(start, at)
    }

    /// The rest of a string from its first escape on.
    fn escaped_string(&mut self, start: usize, mut at: usize) -> PgResult<Cow<'a, str>> {
        let mut out = self.text[start..at].to_owned();
        loop {
            let Some(c) = self.text[at..].chars().next() else {
                return Err(self.invalid_token(self.text.len()));
            };
            match c {
                '"' => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                '\\' => at = self.escape(at, &mut out)?,
                c if c < ' ' => {
                    let detail = format!("Character with value 0x{:02x} must be escaped.", c as u32);
                    return Err(self.syntax(at, detail));
                }
                c => {
                    out.push(c);
                    at += c.len_utf8();
                }
            }
        }
    }

    /// One escape at `at`; gives the position behind it.
    fn escape(&self, at: usize, out: &mut String) -> PgResult<usize> {
        let Some(letter) = self.text[at + 1..].chars().next() else {
            return Err(self.invalid_token(self.text.len()));
        };
        let plain = match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(at, out),
            other => {
                let end = at + 1 + other.len_utf8();
                return Err(self.syntax(end, format!("Escape sequence \"\\{other}\" is invalid.")));
            }
        };
        out.push(plain);
        Ok(at + 2)
    }

    fn unicode_escape(&self, at: usize, out: &mut String) -> PgResult<usize> {
        let first = self.hex4(at)?;
        let end = at + 6;
        let surrogate = |detail: &str| self.syntax(end, detail);
        const LOW: &str = "Unicode low surrogate must follow a high surrogate.";
        match first {
            0 if self.build => {
                Err(PgError::new(sqlstate::UNTRANSLATABLE_CHARACTER, "unsupported Unicode escape sequence")
                    .detail("\\u0000 cannot be converted to text.")
                    .context(self.context_line(end)))
            }
            // Plain json keeps its text, so the escape only has to be well formed.
            0 => Ok(end),
            0xD800..=0xDBFF => {
                if self.build && end == self.text.len() {
                    return Err(self.invalid_token(end));
                }
                if !self.text[end..].starts_with("\\u") {
                    let wrong = self.text[end..].chars().next().map_or(0, char::len_utf8);
                    return if self.build { Err(self.syntax(end + wrong, LOW)) } else { Ok(end) };
                }
                let second = self.hex4(end)?;
                match second {
                    0xDC00..=0xDFFF => {
                        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        Ok(end + 6)
                    }
                    0xD800..=0xDBFF if self.build => {
                        Err(self.syntax(end + 6, "Unicode high surrogate must not follow a high surrogate."))
                    }
                    _ if self.build => Err(self.syntax(end + 6, LOW)),
                    _ => Ok(end + 6),
                }
            }
            0xDC00..=0xDFFF if self.build => Err(surrogate(LOW)),
            code => {
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                Ok(end)
            }
        }
    }

    /// The four hexadecimal digits of `\uXXXX` at `at`.
    fn hex4(&self, at: usize) -> PgResult<u32> {
        let digits = &self.text.as_bytes()[(at + 2).min(self.text.len())..];
        let mut code = 0;
        for index in 0..4 {
            let Some(byte) = digits.get(index) else {
                return Err(self.invalid_token(self.text.len()));
            };
            let Some(digit) = (*byte as char).to_digit(16) else {
                let wrong = at + 2 + index;
                let width = self.text[wrong..].chars().next().map_or(1, char::len_utf8);
                return Err(self.syntax(wrong + width, "\"\\u\" must be followed by four hexadecimal digits."));
            };
            code = code << 4 | digit;
        }
        Ok(code)
    }

    /// The end of the word at the current position: letters, digits, underscores, wide characters; else one character.
    fn word_end(&self) -> usize {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()));
        match length.unwrap_or(rest.len()) {
            0 => self.at + rest.chars().next().map_or(0, char::len_utf8),
            length => self.at + length,
        }
    }

    #[cold]
    fn unexpected(&self, expected: Expected) -> PgError {
        if self.at >= self.text.len() {
            return self.syntax(self.text.len(), "The input string ended unexpectedly.");
        }
        let end = match self.peek() {
            // A well-formed token in the wrong place is shown whole.
            Some(b'"') => {
                let mut parser = Parser { text: self.text, at: self.at, depth: 0, build: false };
                match parser.string() {
                    Ok(_) => parser.at,
                    Err(error) => return error,
                }
            }
            Some(b'-' | b'0'..=b'9') => {
                let mut parser = Parser { text: self.text, at: self.at, depth: 0, build: false };
                match parser.number() {
                    Ok(_) => parser.at,
                    Err(error) => return error,
                }
            }
            _ => self.word_end(),
        };
        let token = &self.text[self.at..end];
        let known = token.starts_with(['"', '-', '{', '}', '[', ']', ',', ':'])
            || token.as_bytes()[0].is_ascii_digit()
            || matches!(token, "null" | "true" | "false");
        if !known {
            return self.invalid_token(end);
        }
        let wanted = match expected {
            Expected::Value => "JSON value",
            Expected::ArrayNext => "\",\" or \"]\"",
            Expected::ObjectFirst => "string or \"}\"",
            Expected::ObjectNext => "\",\" or \"}\"",
            Expected::Key => "string",
            Expected::Colon => "\":\"",
            Expected::End => "end of input",
        };
        self.syntax(end, format!("Expected {wanted}, but found \"{token}\"."))
    }

    #[cold]
    fn invalid_token(&self, end: usize) -> PgError {
        self.syntax(end, format!("Token \"{}\" is invalid.", &self.text[self.at..end]))
    }

    #[cold]
    fn syntax(&self, end: usize, detail: impl Into<String>) -> PgError {
        PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
            .detail(detail)
            .context(self.context_line(end))
    }

    /// `JSON data, line 1: {"a": x...`
    fn context_line(&self, end: usize) -> String {
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_number = before.matches('\n').count() + 1;
        let mut start = line_start;
        while end - start >= CONTEXT_CHARS {
            start += self.text[start..].chars().next().map_or(1, char::len_utf8);
        }
        if start - line_start <= 3 {
            start = line_start;
        }
        let prefix = if start > line_start { "..." } else { "" };
        let more = self.text[end..].chars().next().is_some_and(|c| c != '\n' && c != '\r');
        let suffix = if more { "..." } else { "" };
        format!("JSON data, line {line_number}: {prefix}{}{suffix}", &self.text[start..end])
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
