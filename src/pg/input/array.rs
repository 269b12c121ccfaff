//! Input of arrays: `{1,NULL,"a b"}`, nested braces, optional `[1:3]=` in front.
//!
//! Only the text is taken apart here; each element goes through its type's own parser. Lower bounds other than 1 are
//! 0A000.

use std::borrow::Cow;

use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// Most dimensions of an array, as in PostgreSQL.
pub const DIMENSIONS_MAX: usize = 6;

/// An element's text; `None` is NULL.
pub type ArrayElement<'a> = Option<Cow<'a, str>>;

/// An array's text taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayText<'a> {
    /// Length of each dimension, outermost first; empty for `{}`.
    pub dimensions: Vec<usize>,
    /// All elements in row-major order.
    pub elements: Vec<ArrayElement<'a>>,
}

/// Reads an array and parses each element with `element`.
pub fn parse_array<T>(
    text: &str,
    delimiter: char,
    mut element: impl FnMut(&str) -> PgResult<T>,
) -> PgResult<(Vec<usize>, Vec<Option<T>>)> {
    let split = split_array(text, delimiter)?;
    let values =
        split.elements.iter().map(|text| text.as_deref().map(&mut element).transpose()).collect::<PgResult<_>>()?;
    Ok((split.dimensions, values))
}

#[cold]
fn malformed(text: &str, detail: impl Into<String>) -> PgError {
    PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\"")).detail(detail)
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    LevelStarted,
    Element,
    QuotedElement,
    QuotedDone,
    ElementDelimited,
    LevelDone,
    LevelDelimited,
}

/// Takes an array's text apart. 22P02 `malformed array literal: "..."` with a DETAIL, 54000 beyond six dimensions.
pub fn split_array(text: &str, delimiter: char) -> PgResult<ArrayText<'_>> {
    let (declared, body) = declared_dimensions(text, trim_start(text))?;
    if !body.starts_with('{') {
        let detail = if declared.is_some() {
            "Array contents must start with \"{\"."
        } else {
            "Array value must start with \"{\" or dimension information."
        };
        return Err(malformed(text, detail));
    }
    let mut splitter = Splitter {
        // PostgreSQL shows what stands behind the dimensions.
        text: body,
        delimiter,
        state: State::Start,
        depth: 0,
        counts: [0; DIMENSIONS_MAX],
        lengths: [None; DIMENSIONS_MAX],
        dimensions: 0,
        elements: Vec::new(),
        start: 0,
        escaped: None,
    };
    let end = splitter.run(body)?;
    if !trim(&body[end..]).is_empty() {
        return Err(malformed(body, "Junk after closing right brace."));
    }
    let mut dimensions: Vec<usize> =
        splitter.lengths[..splitter.dimensions].iter().map(|length| length.unwrap_or(0)).collect();
    if splitter.elements.is_empty() {
        dimensions.clear();
    }
    if declared.is_some_and(|declared| declared != dimensions) {
        return Err(malformed(text, "Specified array dimensions do not match array contents."));
    }
    Ok(ArrayText { dimensions, elements: splitter.elements })
}

/// `[1:2][1:3]=` in front: the lengths, and what follows.
fn declared_dimensions<'a>(text: &str, body: &'a str) -> PgResult<(Option<Vec<usize>>, &'a str)> {
    let mut rest = body;
    let mut lengths = Vec::new();
    while let Some(tail) = rest.strip_prefix('[') {
        if lengths.len() >= DIMENSIONS_MAX {
            return Err(too_many(lengths.len() + 1));
        }
        let close = tail.find(']').ok_or_else(|| malformed(text, "Missing \"]\" after array dimensions."))?;
        let (lower, upper) = match tail[..close].split_once(':') {
            Some((lower, upper)) => (trim(lower), trim(upper)),
            None => ("1", trim(&tail[..close])),
        };
        let number = |part: &str| {
            part.parse::<i32>().map_err(|_| {
                let detail = if part.starts_with(|c: char| c.is_ascii_digit()) {
                    "Missing \"]\" after array dimensions."
                } else {
                    "\"[\" must introduce explicitly-specified array dimensions."
                };
                malformed(text, detail)
            })
        };
        let (lower, upper) = (number(lower)?, number(upper)?);
        if upper < lower {
            return Err(PgError::new(sqlstate::ARRAY_SUBSCRIPT_ERROR, "upper bound cannot be less than lower bound"));
        }
        if lower != 1 {
            return Err(PgError::unsupported(format!("array lower bound {lower} is not supported"))
                .hint("Array subscripts start at 1."));
        }
        lengths.push(upper as usize);
        rest = trim_start(&tail[close + 1..]);
    }
    if lengths.is_empty() {
        return Ok((None, rest));
    }
    let rest = rest.strip_prefix('=').ok_or_else(|| malformed(text, "Missing \"=\" after array dimensions."))?;
    Ok((Some(lengths), trim_start(rest)))
}

#[cold]
fn too_many(dimensions: usize) -> PgError {
    PgError::new(
        sqlstate::PROGRAM_LIMIT_EXCEEDED,
        format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
}

struct Splitter<'t, 'a> {
    text: &'t str,
    delimiter: char,
    state: State,
    depth: usize,
    counts: [usize; DIMENSIONS_MAX],
    lengths: [Option<usize>; DIMENSIONS_MAX],
    dimensions: usize,
    elements: Vec<ArrayElement<'a>>,
    start: usize,
    /// The element so far, once it differs from the text.
    escaped: Option<String>,
}

impl<'a> Splitter<'_, 'a> {
    /// Reads up to the closing brace; gives the position behind it.
    fn run(&mut self, body: &'a str) -> PgResult<usize> {
        let bytes = body.as_bytes();
        let mut at = 0;
        // Up to here the unquoted element has no trailing blanks.
        let mut solid = 0;
        while at < bytes.len() {
            let width = body[at..].chars().next().map_or(1, char::len_utf8);
            let c = &body[at..at + width];
            if self.state == State::QuotedElement && !matches!(c, "\\" | "\"") {
                if let Some(element) = &mut self.escaped {
                    element.push_str(c);
                }
                at += width;
                continue;
            }
            match c {
                "\\" => {
                    at = self.escape(body, at)?;
                    solid = at;
                    continue;
                }
                "\"" if self.state == State::QuotedElement => {
                    let element = self.take(&body[self.start..at]);
                    self.elements.push(Some(element));
                    self.state = State::QuotedDone;
                }
                "\"" => {
                    if !matches!(self.state, State::LevelStarted | State::ElementDelimited) {
                        return Err(malformed(self.text, "Unexpected array element."));
                    }
                    self.state = State::QuotedElement;
                    self.start = at + 1;
                    self.escaped = None;
                }
                "{" => self.open()?,
                "}" => {
                    self.finish_element(body, solid);
                    self.close()?;
                    if self.depth == 0 {
                        return Ok(at + 1);
                    }
                }
                _ if c.starts_with(self.delimiter) => {
                    self.finish_element(body, solid);
                    self.delimit()?;
                }
                _ if c.len() == 1 && trim(c).is_empty() => {
                    if self.state == State::Element
                        && let Some(element) = &mut self.escaped
                    {
                        element.push_str(c);
                    }
                }
                _ => {
                    self.begin(&[State::LevelStarted, State::Element, State::ElementDelimited], at, "")?;
                    if let Some(element) = &mut self.escaped {
                        element.push_str(c);
                    }
                    solid = at + width;
                }
            }
            at += width;
        }
        Err(self.unexpected_end())
    }

    /// A backslash at `at` and the character it stands for; gives the position behind both.
    fn escape(&mut self, body: &str, at: usize) -> PgResult<usize> {
        let allowed = [State::LevelStarted, State::Element, State::QuotedElement, State::ElementDelimited];
        self.begin(&allowed, at, "\\")?;
        let next = body[at + 1..].chars().next().ok_or_else(|| self.unexpected_end())?;
        let so_far = &body[self.start..at];
        self.escaped.get_or_insert_with(|| so_far.to_owned()).push(next);
        Ok(at + 1 + next.len_utf8())
    }

    /// A character of an element.
    fn begin(&mut self, allowed: &[State], at: usize, shown: &str) -> PgResult<()> {
        if !allowed.contains(&self.state) {
            let detail = if shown.is_empty() {
                "Unexpected array element.".to_owned()
            } else {
                format!("Unexpected \"{shown}\" character.")
            };
            return Err(malformed(self.text, detail));
        }
        if !matches!(self.state, State::Element | State::QuotedElement) {
            self.start = at;
            self.escaped = None;
            self.state = State::Element;
        }
        Ok(())
    }

    fn take(&mut self, plain: &'a str) -> Cow<'a, str> {
        match self.escaped.take() {
            Some(element) => Cow::Owned(element),
            None => Cow::Borrowed(plain),
        }
    }

    fn finish_element(&mut self, body: &'a str, solid: usize) {
        if self.state != State::Element {
            return;
        }
        let escaped = self.escaped.is_some();
        let plain = &body[self.start..solid.max(self.start)];
        let mut element = self.take(plain);
        if let Cow::Owned(element) = &mut element {
            // Blanks behind the last solid character do not count; escaped ones are solid.
            let blanks = body[solid..].bytes().take_while(|b| b.is_ascii_whitespace() || *b == 0x0b).count();
            element.truncate(element.len().saturating_sub(blanks));
        }
        let null = !escaped && element.eq_ignore_ascii_case("null");
        self.elements.push(if null { None } else { Some(element) });
    }

    fn open(&mut self) -> PgResult<()> {
        if !matches!(self.state, State::Start | State::LevelStarted | State::LevelDelimited) {
            return Err(malformed(self.text, "Unexpected \"{\" character."));
        }
        if self.depth >= DIMENSIONS_MAX {
            return Err(too_many(self.depth + 1));
        }
        self.state = State::LevelStarted;
        self.counts[self.depth] = 0;
        self.depth += 1;
        self.dimensions = self.dimensions.max(self.depth);
        Ok(())
    }

    fn close(&mut self) -> PgResult<()> {
        let empty = self.state == State::LevelStarted;
        let allowed =
            matches!(self.state, State::Element | State::QuotedDone | State::LevelDone) || empty && self.depth == 1;
        if !allowed {
            return Err(malformed(self.text, "Unexpected \"}\" character."));
        }
        self.state = State::LevelDone;
        self.depth -= 1;
        if !empty {
            self.counts[self.depth] += 1;
        }
        let count = self.counts[self.depth];
        if self.lengths[self.depth].is_some_and(|length| length != count) {
            return Err(malformed(self.text, "Multidimensional arrays must have sub-arrays with matching dimensions."));
        }
        self.lengths[self.depth] = Some(count);
        Ok(())
    }

    fn delimit(&mut self) -> PgResult<()> {
        self.state = match self.state {
            State::Element | State::QuotedDone => State::ElementDelimited,
            State::LevelDone => State::LevelDelimited,
            _ => return Err(malformed(self.text, format!("Unexpected \"{}\" character.", self.delimiter))),
        };
        self.counts[self.depth - 1] += 1;
        Ok(())
    }

    fn unexpected_end(&self) -> PgError {
        malformed(self.text, "Unexpected end of input.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(text: &str) -> String {
        match split_array(text, ',') {
            Ok(array) => format!("{:?} {:?}", array.dimensions, array.elements),
            Err(error) => format!("{} {}", error.code, error.detail.clone().unwrap_or_else(|| error.message.clone())),
        }
    }

    #[test]
    fn elements_and_dimensions() {
        for (text, expect) in [
            ("{}", "[] []"),
            (" { } ", "[] []"),
            ("{1,2}", r#"[2] [Some("1"), Some("2")]"#),
            ("{ a b , NULL, \"NULL\" }", r#"[3] [Some("a b"), None, Some("NULL")]"#),
            (r#"{"a,\"b","c\\d"}"#, r#"[2] [Some("a,\"b"), Some("c\\d")]"#),
            ("{{1,2},{3,4},{5,6}}", r#"[3, 2] [Some("1"), Some("2"), Some("3"), Some("4"), Some("5"), Some("6")]"#),
            ("{\"\"}", r#"[1] [Some("")]"#),
            (r"{a\ ,\NULL}", r#"[2] [Some("a "), Some("NULL")]"#),
            (r"{a\b  }", r#"[1] [Some("ab")]"#),
            ("[1:2]={7,8}", r#"[2] [Some("7"), Some("8")]"#),
        ] {
            assert_eq!(show(text), expect, "{text}");
        }
    }

    #[test]
    fn malformed_literals_say_why() {
        for (text, expect) in [
            ("", "22P02 Array value must start with \"{\" or dimension information."),
            ("x", "22P02 Array value must start with \"{\" or dimension information."),
            ("{1,2", "22P02 Unexpected end of input."),
            ("{1}}", "22P02 Junk after closing right brace."),
            ("{1,}", "22P02 Unexpected \"}\" character."),
            ("{,1}", "22P02 Unexpected \",\" character."),
            ("{{1},2}", "22P02 Unexpected array element."),
            ("{1,{2}}", "22P02 Unexpected \"{\" character."),
            ("{{1,2},{3}}", "22P02 Multidimensional arrays must have sub-arrays with matching dimensions."),
            ("{\"a\"b}", "22P02 Unexpected array element."),
            ("{\"a", "22P02 Unexpected end of input."),
            ("{{},{}}", "22P02 Unexpected \"}\" character."),
            ("{{{{{{{1}}}}}}}", "54000 number of array dimensions (7) exceeds the maximum allowed (6)"),
            ("[1:2]={7}", "22P02 Specified array dimensions do not match array contents."),
            ("[0:1]={7,8}", "0A000 array lower bound 0 is not supported"),
        ] {
            assert_eq!(show(text), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}\\\\,\"a \\[\\]:=1N\u{e9}]{0,24}") {
            if let Ok(array) = split_array(&text, ',') {
                prop_assert_eq!(array.dimensions.iter().product::<usize>() * usize::from(!array.dimensions.is_empty()),
                    array.elements.len());
            }
        }
    }
}
