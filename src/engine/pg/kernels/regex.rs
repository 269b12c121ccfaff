//! Regular expressions: PostgreSQL's syntax on Rust's engine.
//!
//! Advanced regular expressions are translated: word-boundary escapes, newline rules, flags. What the engine cannot do in
//! linear time (back references, look-around) is refused with 0A000. Compiled patterns are kept for the length of a batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, ListBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field};
use regex::{Regex, RegexBuilder};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::super::call::over_arrays;
use super::super::signatures::oid;
use super::super::types::{PgType, field_over};
use super::Implementation;
use super::row::{Row, bools, ints, lenient_texts, text_lists, texts};

/// Patterns kept in one batch. Reason: a column of patterns must not fill memory with automata.
const KEPT_MAX: usize = 64;

/// Flags of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Flags {
    folded: bool,
    global: bool,
    /// n: neither dot nor brackets match newlines, anchors match at lines.
    dot_stops: bool,
    lines: bool,
    expanded: bool,
    literal: bool,
}

fn flags(text: &str, global_ok: bool) -> Result<Flags, PgError> {
    let mut found = Flags::default();
    for one in text.chars() {
        match one {
            'g' if global_ok => found.global = true,
            'i' => found.folded = true,
            'c' => found.folded = false,
            'm' | 'n' => (found.dot_stops, found.lines) = (true, true),
            'p' => found.dot_stops = true,
            'w' => found.lines = true,
            's' => (found.dot_stops, found.lines) = (false, false),
            'x' => found.expanded = true,
            't' => found.expanded = false,
            'q' => found.literal = true,
            'e' | 'b' => {}
            'g' => {
                let message = "this function does not support the \"global\" option";
                return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
            }
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
            }
        }
    }
    Ok(found)
}

/// Compiled patterns of one batch.
#[derive(Default)]
struct Patterns(HashMap<(String, Flags), Regex>);

impl Patterns {
    fn get(&mut self, pattern: &str, with: Flags) -> Result<Regex, PgError> {
        let key = (pattern.to_owned(), Flags { global: false, ..with });
        if let Some(found) = self.0.get(&key) {
            return Ok(found.clone());
        }
        let compiled = compile(pattern, with)?;
        if self.0.len() >= KEPT_MAX {
            self.0.clear();
        }
        self.0.insert(key, compiled.clone());
        Ok(compiled)
    }
}

fn compile(pattern: &str, mut with: Flags) -> Result<Regex, PgError> {
    let mut body = pattern;
    if let Some(rest) = body.strip_prefix("***=") {
        with.literal = true;
        body = rest;
    } else if let Some(rest) = body.strip_prefix("***:") {
        body = rest;
    }
    let text = if with.literal { regex::escape(body) } else { translated(body)? };
    RegexBuilder::new(&text)
        .case_insensitive(with.folded)
        .dot_matches_new_line(!with.dot_stops)
        .multi_line(with.lines)
        .ignore_whitespace(with.expanded)
        .build()
        .map_err(|error| {
            let message = match &error {
                regex::Error::CompiledTooBig(_) => "regular expression is too complex".to_owned(),
                other => format!("invalid regular expression: {}", reason(&other.to_string())),
            };
            PgError::new(sqlstate::INVALID_REGULAR_EXPRESSION, message)
        })
}

/// The engine's complaint as one line.
fn reason(text: &str) -> &str {
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("invalid syntax");
    last.trim().trim_start_matches("error: ")
}

/// PostgreSQL's escapes in the engine's spelling.
fn translated(pattern: &str) -> Result<String, PgError> {
    let unsupported = |what: &str| PgError::unsupported(format!("{what} in regular expressions are not supported"));
    let all: Vec<char> = pattern.chars().collect();
    let mut built = String::with_capacity(pattern.len() + 8);
    let (mut at, mut bracket) = (0, false);
    while at < all.len() {
        let one = all[at];
        let next = all.get(at + 1).copied();
        if bracket {
            match one {
                ']' => bracket = false,
                '[' if next == Some(':') => {
                    let end = (at + 2..all.len()).find(|index| all[*index] == ':' && all.get(index + 1) == Some(&']'));
                    if let Some(end) = end {
                        built.extend(&all[at..end + 2]);
                        at = end + 2;
                        continue;
                    }
                }
                '[' => built.push('\\'),
                // Set operators of the engine are plain characters here.
                '&' | '~' | '-' if next == Some(one) => built.push('\\'),
                '\\' => {
                    built.push('\\');
                    built.extend(next);
                    at += 2;
                    continue;
                }
                _ => {}
            }
            built.push(one);
            at += 1;
            continue;
        }
        match (one, next) {
            ('\\', Some('y')) => built.push_str("\\b"),
            ('\\', Some('Y')) => built.push_str("\\B"),
            ('\\', Some('m')) => built.push_str("\\b{start}"),
            ('\\', Some('M')) => built.push_str("\\b{end}"),
            ('\\', Some('Z')) => built.push_str("\\z"),
            ('\\', Some('1'..='9')) => return Err(unsupported("back references")),
            ('\\', Some('e')) => built.push_str("\\x1B"),
            ('\\', Some(other)) => {
                built.push('\\');
                built.push(other);
            }
            ('\\', None) => {
                let message = "invalid regular expression: invalid escape \\ sequence";
                return Err(PgError::new(sqlstate::INVALID_REGULAR_EXPRESSION, message));
            }
            ('(', Some('?')) if matches!(all.get(at + 2), Some('=' | '!')) => {
                return Err(unsupported("look-ahead constraints"));
            }
            ('(', Some('?')) if all.get(at + 2) == Some(&'<') && matches!(all.get(at + 3), Some('=' | '!')) => {
                return Err(unsupported("look-behind constraints"));
            }
            ('[', _) => {
                let rest: String = all[at..].iter().take(7).collect();
                if rest == "[[:<:]]" || rest == "[[:>:]]" {
                    built.push_str(if rest == "[[:<:]]" { "\\b{start}" } else { "\\b{end}" });
                    at += 7;
                    continue;
                }
                bracket = true;
                built.push('[');
                at += 1;
                if all.get(at) == Some(&'^') {
                    built.push('^');
                    at += 1;
                }
                if all.get(at) == Some(&']') {
                    built.push_str("\\]");
                    at += 1;
                }
                continue;
            }
            _ => {
                built.push(one);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    Ok(built)
}

/// Replacement text: `\1` to `\9`, `\&`, `\\`.
fn replaced(text: &str, pattern: &Regex, with: &str, start: usize, which: Option<usize>) -> String {
    let mut built = text[..start].to_owned();
    let mut last = start;
    for (index, found) in pattern.captures_iter(&text[start..]).enumerate() {
        let Some(whole) = found.get(0) else { continue };
        if which.is_some_and(|which| which != index + 1) {
            continue;
        }
        built.push_str(&text[last..start + whole.start()]);
        let mut characters = with.chars();
        while let Some(one) = characters.next() {
            if one != '\\' {
                built.push(one);
                continue;
            }
            match characters.next() {
                Some(digit @ '1'..='9') => {
                    let group = digit as usize - '0' as usize;
                    built.push_str(found.get(group).map_or("", |group| group.as_str()));
                }
                Some('&') => built.push_str(whole.as_str()),
                Some('\\') => built.push('\\'),
                Some(other) => {
                    built.push('\\');
                    built.push(other);
                }
                None => built.push('\\'),
            }
        }
        last = start + whole.end();
    }
    built.push_str(&text[last..]);
    built
}

fn byte_of(text: &str, character: i32, what: &str) -> Result<Option<usize>, PgError> {
    if character < 1 {
        let message = format!("invalid value for parameter \"{what}\": {character}");
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    }
    let skip = character as usize - 1;
    let total = text.chars().count();
    if skip > total {
        return Ok(None);
    }
    Ok(Some(text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at)))
}

fn optional<'a>(row: &Row<'a>, index: usize) -> &'a str {
    if row.width() > index { row.text(index) } else { "" }
}

fn number(row: &Row<'_>, index: usize, default: i32) -> i32 {
    if row.width() > index { row.int(index) } else { default }
}

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "textregexeq" | "bpcharregexeq" | "nameregexeq" => {
            Implementation::strict(|call, values| matched(call, values, false, false))
        }
        "textregexne" | "bpcharregexne" | "nameregexne" => {
            Implementation::strict(|call, values| matched(call, values, true, false))
        }
        "texticregexeq" | "bpcharicregexeq" | "nameicregexeq" => {
            Implementation::strict(|call, values| matched(call, values, false, true))
        }
        "texticregexne" | "bpcharicregexne" | "nameicregexne" => {
            Implementation::strict(|call, values| matched(call, values, true, true))
        }
        "regexp_like" | "regexp_like_no_flags" => Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            bools(call, values, |row| {
                let with = flags(optional(&row, 2), false)?;
                Ok(Some(patterns.get(row.text(1), with)?.is_match(row.text(0))))
            })
        }),
        "textregexsubstr" => Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            texts(call, values, |row| {
                let pattern = patterns.get(row.text(1), Flags::default())?;
                Ok(first_group(&pattern, row.text(0)))
            })
        }),
        "similar_to_escape_1" | "similar_to_escape_2" | "similar_escape" => {
            Implementation::lenient(|call, values| lenient_texts(call, values, similar))
        }
        _ => find_more(code),
    }
}

fn find_more(code: &str) -> Option<Implementation> {
    if code.starts_with("textregexreplace") {
        return Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            texts(call, values, |row| replace(&mut patterns, row))
        });
    }
    if code.starts_with("regexp_count") {
        return Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            ints(call, values, |row| {
                let with = flags(optional(&row, 3), false)?;
                let Some(start) = byte_of(row.text(0), number(&row, 2, 1), "start")? else { return Ok(Some(0)) };
                let pattern = patterns.get(row.text(1), with)?;
                Ok(i32::try_from(pattern.find_iter(&row.text(0)[start..]).count()).ok())
            })
        });
    }
    if code.starts_with("regexp_substr") {
        return Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            texts(call, values, |row| {
                let found = nth(&mut patterns, &row, 4, 5)?;
                Ok(found.map(|(from, to)| row.text(0)[from..to].to_owned()))
            })
        });
    }
    if code.starts_with("regexp_instr") {
        return Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            ints(call, values, |row| {
                let found = nth(&mut patterns, &row, 5, 6)?;
                let end = number(&row, 4, 0);
                let at = found.map_or(0, |(from, to)| {
                    let byte = if end == 1 { to } else { from };
                    row.text(0)[..byte].chars().count() as i32 + 1
                });
                Ok(Some(at))
            })
        });
    }
    match code {
        "regexp_match" | "regexp_match_no_flags" => Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            text_lists(call, values, true, |row| {
                let with = flags(optional(&row, 2), false)?;
                let pattern = patterns.get(row.text(1), with)?;
                Ok(pattern.captures(row.text(0)).map(|found| groups(&found)))
            })
        }),
        "regexp_matches" | "regexp_matches_no_flags" => Implementation::shaped(all_matches, |_| {
            let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
            Ok(field_over("", PgType::plain(oid::TEXT_ARRAY), list(list(DataType::Utf8View)), true))
        }),
        "regexp_split_to_array"
        | "regexp_split_to_array_no_flags"
        | "regexp_split_to_table"
        | "regexp_split_to_table_no_flags" => Implementation::strict(|call, values| {
            let mut patterns = Patterns::default();
            text_lists(call, values, true, |row| {
                let with = flags(optional(&row, 2), false)?;
                let pattern = patterns.get(row.text(1), with)?;
                Ok(Some(split(&pattern, row.text(0)).into_iter().map(Some).collect()))
            })
        }),
        _ => None,
    }
}

/// Groups of the first match, or of every match with flag g: a list of lists, one a row of the set.
fn all_matches(
    call: &super::super::call::Call<'_>,
    values: &[datafusion::logical_expr::ColumnarValue],
) -> Result<datafusion::logical_expr::ColumnarValue, PgError> {
    let mut patterns = Patterns::default();
    over_arrays(call, values, |arrays, rows| {
        let mut builder = ListBuilder::new(ListBuilder::new(StringViewBuilder::new()));
        for index in 0..rows {
            if arrays.iter().any(|array| array.is_null(index)) {
                builder.append_null();
                continue;
            }
            let text = |which: usize| arrays[which].as_string_view().value(index);
            let with = flags(if arrays.len() > 2 { text(2) } else { "" }, true)?;
            let pattern = patterns.get(text(1), with)?;
            let limit = if with.global { usize::MAX } else { 1 };
            for found in pattern.captures_iter(text(0)).take(limit) {
                for group in groups(&found) {
                    builder.values().values().append_option(group);
                }
                builder.values().append(true);
            }
            builder.append(true);
        }
        Ok(Arc::new(builder.finish()))
    })
}

fn matched(
    call: &super::super::call::Call<'_>,
    values: &[datafusion::logical_expr::ColumnarValue],
    negated: bool,
    folded: bool,
) -> Result<datafusion::logical_expr::ColumnarValue, PgError> {
    let mut patterns = Patterns::default();
    bools(call, values, |row| {
        let pattern = patterns.get(row.text(1), Flags { folded, ..Flags::default() })?;
        Ok(Some(pattern.is_match(row.text(0)) != negated))
    })
}

fn first_group(pattern: &Regex, text: &str) -> Option<String> {
    let found = pattern.captures(text)?;
    let wanted = usize::from(pattern.captures_len() > 1);
    found.get(wanted).map(|group| group.as_str().to_owned())
}

fn groups(found: &regex::Captures<'_>) -> Vec<Option<String>> {
    let first = usize::from(found.len() > 1);
    (first..found.len()).map(|index| found.get(index).map(|group| group.as_str().to_owned())).collect()
}

/// An empty match at the very start or end, or right after another, splits nothing.
fn split(pattern: &Regex, text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut last = 0;
    for found in pattern.find_iter(text) {
        if found.end() == 0 || (found.is_empty() && (found.start() == last || found.start() >= text.len())) {
            if found.is_empty() && found.start() > last && found.start() < text.len() {
                fields.push(text[last..found.start()].to_owned());
                last = found.start();
            }
            continue;
        }
        fields.push(text[last..found.start()].to_owned());
        last = found.end();
    }
    fields.push(text[last..].to_owned());
    fields
}

fn nth(
    patterns: &mut Patterns,
    row: &Row<'_>,
    flags_at: usize,
    group_at: usize,
) -> Result<Option<(usize, usize)>, PgError> {
    let with = flags(optional(row, flags_at), false)?;
    let Some(start) = byte_of(row.text(0), number(row, 2, 1), "start")? else { return Ok(None) };
    let wanted = number(row, 3, 1);
    if wanted < 1 {
        let message = format!("invalid value for parameter \"n\": {wanted}");
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    }
    let group = usize::try_from(number(row, group_at, 0)).unwrap_or(0);
    let pattern = patterns.get(row.text(1), with)?;
    let found = pattern.captures_iter(&row.text(0)[start..]).nth(wanted as usize - 1);
    Ok(found.and_then(|found| found.get(group)).map(|group| (start + group.start(), start + group.end())))
}

fn replace(patterns: &mut Patterns, row: Row<'_>) -> Result<Option<String>, PgError> {
    // (text, pattern, replacement [, flags]) or (text, pattern, replacement, start [, n [, flags]]).
    let extended = row.width() > 3 && matches!(row.at(3).0.data_type(), arrow::datatypes::DataType::Int32);
    let with = if extended { flags(optional(&row, 5), true)? } else { flags(optional(&row, 3), true)? };
    let text = row.text(0);
    let (start, which) = if extended {
        let Some(start) = byte_of(text, row.int(3), "start")? else { return Ok(Some(text.to_owned())) };
        let wanted = number(&row, 4, 1);
        if wanted < 0 {
            let message = format!("invalid value for parameter \"n\": {wanted}");
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
        }
        let all = wanted == 0 || (row.width() == 4 && with.global);
        (start, (!all).then_some(wanted.max(1) as usize))
    } else {
        (0, (!with.global).then_some(1))
    };
    let pattern = patterns.get(row.text(1), with)?;
    Ok(Some(replaced(text, &pattern, row.text(2), start, which)))
}

/// A SIMILAR TO pattern as a regular expression.
fn similar(row: Row<'_>) -> Result<Option<String>, PgError> {
    if row.null(0) {
        return Ok(None);
    }
    let escape = if row.width() > 1 {
        if row.null(1) {
            Some('\\')
        } else {
            let mut characters = row.text(1).chars();
            match (characters.next(), characters.next()) {
                (one, None) => one,
                _ => {
                    return Err(PgError::new(sqlstate::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                        .hint("Escape string must be empty or one character."));
                }
            }
        }
    } else {
        Some('\\')
    };
    let mut built = String::from("^(?:");
    let mut characters = row.text(0).chars();
    let mut bracket = false;
    while let Some(one) = characters.next() {
        if Some(one) == escape {
            if let Some(next) = characters.next() {
                built.push('\\');
                built.push(next);
            }
            continue;
        }
        match one {
            ']' if bracket => {
                bracket = false;
                built.push(']');
            }
            other if bracket => built.push(other),
            '[' => {
                bracket = true;
                built.push('[');
            }
            '%' => built.push_str(".*"),
            '_' => built.push('.'),
            '(' => built.push_str("(?:"),
            '\\' | '.' | '^' | '$' => {
                built.push('\\');
                built.push(one);
            }
            other => built.push(other),
        }
    }
    built.push_str(")$");
    Ok(Some(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_translate() {
        for (pattern, text, expect) in [
            ("\\yabc\\y", "x abc y", true),
            ("\\mabc", "xabc", false),
            ("a.c", "a\nc", true),
            ("[[:digit:]]+", "x1", true),
            ("[^]]", "]", false),
            ("[a&&b]", "&", true),
        ] {
            let compiled = compile(pattern, Flags::default()).expect("the pattern is valid");
            assert_eq!(compiled.is_match(text), expect, "{pattern} on {text:?}");
        }
        assert!(compile("(?=a)", Flags::default()).is_err());
        assert!(compile("(", Flags::default()).is_err());
    }

    #[test]
    fn replacements_use_groups() {
        let pattern = compile("(b)(c)", Flags::default()).expect("the pattern is valid");
        assert_eq!(replaced("abcabc", &pattern, "[\\2\\1]", 0, Some(1)), "a[cb]abc");
        assert_eq!(replaced("abcabc", &pattern, "<\\&>", 0, None), "a<bc>a<bc>");
    }
}
