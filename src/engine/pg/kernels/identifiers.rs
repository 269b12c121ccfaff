//! parse_ident: a qualified name taken apart as the parser would; pg_options_to_table: options taken apart.

use arrow::array::{ArrayRef, AsArray};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Implementation;
use super::row::text_lists;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "parse_ident" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                let strict = row.width() < 2 || row.boolean(1);
                parts(row.text(0), strict).map(|parts| Some(parts.into_iter().map(Some).collect()))
            })
        }),
        "pg_options_to_table/0" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| Ok(Some(options(&row.list(0)).map(|(name, _)| Some(name)).collect())))
        }),
        "pg_options_to_table/1" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| Ok(Some(options(&row.list(0)).map(|(_, value)| value).collect())))
        }),
        _ => None,
    }
}

/// Name and value of each `name=value`.
fn options(list: &ArrayRef) -> impl Iterator<Item = (String, Option<String>)> {
    let texts = list.as_string_view().iter().flatten();
    texts.map(|text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    })
}

/// The parts of a qualified name; `strict` refuses what follows it.
fn parts(text: &str, strict: bool) -> Result<Vec<String>, PgError> {
    let invalid = |detail: Option<&str>| {
        let message = format!("string is not a valid identifier: \"{text}\"");
        let error = PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
        match detail {
            Some(detail) => error.detail(detail),
            None => error,
        }
    };
    let blank = |one: char| matches!(one, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let mut rest = text.trim_start_matches(blank);
    let mut found: Vec<String> = Vec::new();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) =
                quoted_part(quoted).ok_or_else(|| invalid(Some("String has unclosed double quotes.")))?;
            if part.is_empty() {
                return Err(invalid(Some("Quoted identifier must not be empty.")));
            }
            found.push(part);
            rest = after;
        } else {
            let end = rest.find(|one| !continues(one)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if !part.starts_with(starts) {
                return Err(match (rest.starts_with('.'), found.is_empty()) {
                    (true, _) => invalid(Some("No valid identifier before \".\".")),
                    (false, false) => invalid(Some("No valid identifier after \".\".")),
                    (false, true) => invalid(None),
                });
            }
            found.push(part.to_lowercase());
            rest = after;
        }
        rest = rest.trim_start_matches(blank);
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start_matches(blank),
            None if rest.is_empty() || !strict => return Ok(found),
            None => return Err(invalid(None)),
        }
    }
}

/// A quoted part after its opening quote, and what follows the closing one.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, after)),
        }
    }
}

fn starts(one: char) -> bool {
    one.is_ascii_alphabetic() || one == '_' || !one.is_ascii()
}

fn continues(one: char) -> bool {
    starts(one) || one.is_ascii_digit() || one == '$'
}
