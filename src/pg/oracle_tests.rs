//! Replays what PostgreSQL answered to several thousand casts of literals, good and bad.
//!
//! `tests/data/pg_values/input.tsv` has one case a line: settings, type, input, `ok` or `err`, and the text or the
//! error's SQLSTATE, message, detail and hint (for json its context too). A case that we answer otherwise on purpose is listed in
//! [`intended_difference`] with its reason; any other difference fails.

use crate::builder::InputBuilder;
use crate::error::{PgError, PgResult};
use crate::style::TextStyle;
use crate::text::{ColumnText, TextPrinter};
use crate::types::{TypeKind, parse_type};

struct Case<'a> {
    settings: &'a str,
    type_name: &'a str,
    input: String,
    good: bool,
    answer: String,
}

pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

fn cases(data: &str) -> Vec<Case<'_>> {
    data.lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            let [settings, type_name, input, outcome, answer] = parts[..] else { panic!("bad line {line}") };
            Case { settings, type_name, input: unescape(input), good: outcome == "ok", answer: unescape(answer) }
        })
        .collect()
}

fn show_error(case: &Case<'_>, error: &PgError) -> String {
    let context = if case.type_name.starts_with("json") { error.context.as_deref().unwrap_or("") } else { "" };
    let bar = if case.type_name.starts_with("json") { "|" } else { "" };
    format!(
        "{}|{}|{}|{}{bar}{context}",
        error.code,
        error.message,
        error.detail.as_deref().unwrap_or(""),
        error.hint.as_deref().unwrap_or("")
    )
}

fn ours(case: &Case<'_>) -> PgResult<String> {
    let mut style = TextStyle::default();
    for setting in case.settings.split(';').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').expect("settings are name=value");
        assert!(style.set(name, value)?, "{name}");
    }
    let (ty, modifier) = parse_type(case.type_name)?;
    let mut builder = InputBuilder::for_type(ty, modifier, &style, 0)?.nested().explicit();
    builder.append(&case.input)?;
    let array = builder.finish();
    let printer = TextPrinter::for_type(ty, modifier, array.data_type(), &style)?.cast();
    let mut out = ColumnText::new();
    printer.print(array.as_ref(), &mut out)?;
    Ok(out.text(0).unwrap_or("<null>").to_owned())
}

/// Is this difference meant? The reasons are the documented limits.
fn intended_difference(case: &Case<'_>, ours: &str) -> bool {
    let kind = parse_type(case.type_name).map(|(ty, _)| ty.kind);
    match kind {
        // Free numeric prints without trailing zeros, holds 38 digits on either side, no NaN, no infinity.
        Ok(TypeKind::Numeric) => {
            let trimmed = case.answer.trim_end_matches('0').trim_end_matches('.');
            ours.starts_with("22003|numeric cannot hold ")
                || case.type_name == "numeric" && (trimmed == ours || ours.starts_with("22003|value overflows numeric"))
        }
        // The calendar ends at the year 262142, the time part of an interval at 292 years.
        Ok(TypeKind::Date | TypeKind::Timestamp | TypeKind::TimestampTz) => {
            ours.starts_with("22008|") && case.good && case.input.trim_start_matches('J').len() > 9
        }
        Ok(TypeKind::Interval) => ours == "22008|interval out of range||",
        // Arrays start at 1.
        Ok(TypeKind::Array) => case.input.starts_with("[2:3]") && ours.starts_with("0A000|"),
        _ => false,
    }
}

#[test]
fn casts_of_literals_answer_as_postgresql() {
    let data = include_str!("../../tests/data/pg_values/input.tsv");
    let cases = cases(data);
    assert!(cases.len() > 3000);
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = match ours(case) {
            Ok(text) => (true, text),
            Err(error) => (false, show_error(case, &error)),
        };
        if answer != (case.good, case.answer.clone()) && !intended_difference(case, &answer.1) {
            wrong.push(format!(
                "[{}] {:?}::{}\n  expected {}\n  found    {}",
                case.settings, case.input, case.type_name, case.answer, answer.1
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
