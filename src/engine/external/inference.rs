//! The columns of an external table for which none were defined: once, when it is made.
//!
//! Parquet files say what they hold; the first file counts. Of lines a sample is read (1,000 unless an option says
//! otherwise) and each column gets the narrowest type that takes all of it. Text stays text where a number would lose
//! something: leading zeros, or more digits than a bigint has (which become numeric).

use std::io::Read;

use arrow::datatypes::Field;
use tributary_pg::copy::{CopyContext, CopyReader};
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::input::json::{Json, parse_json};
use tributary_pg::sqlstate;
use tributary_pg::types::oid;

use super::definition::{Definition, Stored};
use super::listing;
use super::reading::{read_error, unpacked};
use crate::engine::copy::parquet;
use crate::engine::files::{self, Allowed};
use crate::engine::foreign;

const CHUNK_BYTES: usize = 64 << 10;
/// Limit: bytes of a sample.
const SAMPLE_BYTES_MAX: usize = 64 << 20;

/// Name, type OID, modifier.
type Column = (String, u32, i32);

/// The columns of the files of a definition; 58P01 if there are no files.
pub(in crate::engine) fn columns_of(definition: &Definition, allowed: &Allowed) -> PgResult<Vec<Column>> {
    let found = listing::files(definition, allowed)?;
    if found.is_empty() {
        let message = format!("there are no files at \"{}\"", definition.location);
        return Err(PgError::new(sqlstate::UNDEFINED_FILE, message).hint("List the columns, or add a file first."));
    }
    let columns = match definition.stored {
        Stored::Parquet => {
            let first = &found[0].place;
            let schema = parquet::schema_of(files::open(first)?.into_file(), first.shown())?;
            let typed = |field: &std::sync::Arc<Field>| {
                foreign::inferred(field).map(|(ty, typmod)| (field.name().clone(), ty.oid, typmod))
            };
            schema.fields().iter().map(typed).collect::<PgResult<Vec<_>>>()?
        }
        Stored::Csv => csv_columns(definition, &found)?,
        Stored::Json => json_columns(definition, &found)?,
    };
    if columns.is_empty() {
        let message = format!("the files at \"{}\" have no columns", definition.location);
        return Err(PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message).hint("List the columns."));
    }
    Ok(columns)
}

/// The beginning of a file.
struct Sample<'a> {
    source: Box<dyn Read + Send>,
    shown: &'a str,
    taken: usize,
}

impl<'a> Sample<'a> {
    fn open(definition: &Definition, found: &'a listing::Found) -> PgResult<Self> {
        let shown = found.place.shown();
        let file = files::open(&found.place)?.into_file();
        let source = unpacked(file, definition.packing_of(shown)).map_err(|error| read_error(shown, &error))?;
        Ok(Self { source, shown, taken: 0 })
    }

    /// More bytes; none at the end.
    fn next(&mut self) -> PgResult<Vec<u8>> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let count = self.source.read(&mut buffer).map_err(|error| read_error(self.shown, &error))?;
        self.taken += count;
        if self.taken > SAMPLE_BYTES_MAX {
            let message = format!("the first rows of file \"{}\" are longer than {SAMPLE_BYTES_MAX} bytes", self.shown);
            return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).hint("List the columns."));
        }
        buffer.truncate(count);
        Ok(buffer)
    }
}

fn csv_columns(definition: &Definition, found: &[listing::Found]) -> PgResult<Vec<Column>> {
    let mut names: Option<Vec<String>> = None;
    let mut guesses: Vec<Guess> = Vec::new();
    let mut left = definition.sample_rows;
    for file in found {
        let mut sample = Sample::open(definition, file)?;
        let mut reader = CopyReader::of_file(&definition.lines, CopyContext::of_file(sample.shown))?;
        let first = loop {
            if let Some(first) = reader.next_names()? {
                break Some(first);
            }
            if reader.finished() {
                break None;
            }
            feed(&mut reader, &mut sample)?;
        };
        let Some(first) = first else { continue };
        if names.is_none() {
            guesses = vec![Guess::default(); first.len()];
            let plain = (1..=first.len()).map(|number| format!("column_{number}")).collect();
            names = Some(if definition.header { first.clone() } else { plain });
        }
        if !definition.header {
            for (guess, text) in guesses.iter_mut().zip(&first) {
                guess.take((!text.is_empty()).then_some(text.as_str()));
            }
        }
        if definition.header && names.as_ref() != Some(&first) {
            // Other columns, or another order: the first file counts.
            continue;
        }
        reader.set_columns(first);
        while left > 0 {
            if let Some(row) = reader.next_row()? {
                left -= 1;
                for (index, guess) in guesses.iter_mut().enumerate().take(row.len()) {
                    guess.take(row.field(index));
                }
                continue;
            }
            if reader.finished() {
                break;
            }
            feed(&mut reader, &mut sample)?;
        }
        if left == 0 {
            break;
        }
    }
    Ok(names.unwrap_or_default().into_iter().zip(guesses).map(|(name, guess)| (name, guess.type_oid(), -1)).collect())
}

/// Gives the reader more of the file, or its end.
fn feed(reader: &mut CopyReader, sample: &mut Sample<'_>) -> PgResult<()> {
    let bytes = sample.next()?;
    if bytes.is_empty() {
        reader.end_input();
    } else {
        reader.push(&bytes);
    }
    Ok(())
}

/// What the texts of a column can all be.
#[derive(Clone, Debug)]
struct Guess {
    seen: bool,
    truth: bool,
    whole: bool,
    wide: bool,
    real: bool,
    date: bool,
    timestamp: bool,
    zoned: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self { seen: false, truth: true, whole: true, wide: true, real: true, date: true, timestamp: true, zoned: true }
    }
}

impl Guess {
    fn take(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        self.seen = true;
        let time = time_shape(text);
        self.truth &= text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        let digits = text.strip_prefix('-').unwrap_or(text);
        let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let numeral = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !padded;
        self.whole &= numeral && text.parse::<i64>().is_ok();
        self.wide &= numeral;
        let number =
            digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
        self.real &= number
            && !padded
            && text.parse::<f64>().is_ok_and(f64::is_finite)
            && !(numeral && digits.len() > 15 && text.parse::<i64>().is_err());
        self.date &= time == Some(Time::Date);
        self.timestamp &= time == Some(Time::Timestamp);
        self.zoned &= time == Some(Time::Zoned);
    }

    fn type_oid(&self) -> u32 {
        match self {
            Self { seen: false, .. } => oid::TEXT,
            Self { truth: true, .. } => oid::BOOL,
            Self { whole: true, .. } => oid::INT8,
            Self { wide: true, .. } => oid::NUMERIC,
            Self { real: true, .. } => oid::FLOAT8,
            Self { date: true, .. } => oid::DATE,
            Self { timestamp: true, .. } => oid::TIMESTAMP,
            Self { zoned: true, .. } => oid::TIMESTAMPTZ,
            _ => oid::TEXT,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Date,
    Timestamp,
    Zoned,
}

/// `2024-05-01`, `2024-05-01 12:00:00.5`, `2024-05-01T12:00:00Z`, `2024-05-01 12:00:00+02:00`.
fn time_shape(text: &str) -> Option<Time> {
    let date = text.get(..10)?;
    chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| date.is_ascii())?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Time::Date);
    }
    let clock = rest.strip_prefix([' ', 'T'])?;
    let end = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(end);
    let parsed = chrono::NaiveTime::parse_from_str(clock, "%H:%M:%S%.f");
    parsed.or_else(|_| chrono::NaiveTime::parse_from_str(clock, "%H:%M")).ok()?;
    if zone.is_empty() {
        return Some(Time::Timestamp);
    }
    let offset = zone.strip_prefix(['+', '-']).map(|offset| offset.replace(':', ""));
    let offset =
        offset.is_some_and(|offset| matches!(offset.len(), 2 | 4) && offset.bytes().all(|b| b.is_ascii_digit()));
    (zone == "Z" || offset).then_some(Time::Zoned)
}

/// What the values of a JSON member can all be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Nothing,
    Truth,
    Whole,
    Real,
    Text,
    Nested,
}

impl Member {
    fn of(value: &Json<'_>) -> Self {
        match value {
            Json::Null => Self::Nothing,
            Json::Bool(_) => Self::Truth,
            Json::Number(number) if number.parse::<i64>().is_ok() => Self::Whole,
            Json::Number(_) => Self::Real,
            Json::String(_) => Self::Text,
            Json::Array(_) | Json::Object(_) => Self::Nested,
        }
    }

    /// What takes both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, two) if one == two => one,
            (Self::Nothing, other) | (other, Self::Nothing) => other,
            (Self::Whole, Self::Real) | (Self::Real, Self::Whole) => Self::Real,
            (Self::Nested, _) | (_, Self::Nested) => Self::Nested,
            _ => Self::Text,
        }
    }

    fn type_oid(self) -> u32 {
        match self {
            Self::Truth => oid::BOOL,
            Self::Whole => oid::INT8,
            Self::Real => oid::FLOAT8,
            Self::Nothing | Self::Text => oid::TEXT,
            Self::Nested => oid::JSONB,
        }
    }
}

fn json_columns(definition: &Definition, found: &[listing::Found]) -> PgResult<Vec<Column>> {
    let mut members: Vec<(String, Member)> = Vec::new();
    let mut left = definition.sample_rows;
    for file in found {
        let mut sample = Sample::open(definition, file)?;
        let mut waiting: Vec<u8> = Vec::new();
        let (mut line_number, mut ended) = (0, false);
        while left > 0 && !ended {
            let bytes = sample.next()?;
            ended = bytes.is_empty();
            waiting.extend_from_slice(if ended { b"\n" } else { &bytes });
            let mut start = 0;
            while let Some(length) = waiting[start..].iter().position(|byte| *byte == b'\n') {
                let line = &waiting[start..start + length];
                start += length + 1;
                line_number += 1;
                if left == 0 || line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                left -= 1;
                let context = || CopyContext::of_file(sample.shown).line_text(line_number, line);
                take_line(line, &mut members).map_err(|error| error.context(context()))?;
            }
            waiting.drain(..start);
        }
    }
    Ok(members.into_iter().map(|(name, member)| (name, member.type_oid(), -1)).collect())
}

fn take_line(line: &[u8], members: &mut Vec<(String, Member)>) -> PgResult<()> {
    let text = std::str::from_utf8(line).map_err(|_| {
        PgError::new(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
    })?;
    let Json::Object(found) = parse_json(text)? else {
        return Err(PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, "line is not a JSON object")
            .hint("The format is one object a line, without an array around them."));
    };
    for (name, value) in found {
        let member = Member::of(&value);
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = known.with(member),
            None => members.push((name.into_owned(), member)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_get_the_narrowest_type_that_loses_nothing() {
        let cases: [(&[&str], u32); 19] = [
            (&["1", "-2", "0"], oid::INT8),
            (&["1", "2.5"], oid::FLOAT8),
            (&["1e3", "-0.5"], oid::FLOAT8),
            (&["0138", "22"], oid::TEXT),
            (&["-07"], oid::TEXT),
            (&["0.5", "0"], oid::FLOAT8),
            (&["12345678901234567890", "1"], oid::NUMERIC),
            (&["12345678901234567890", "1.5"], oid::TEXT),
            (&["true", "FALSE"], oid::BOOL),
            (&["true", "1"], oid::TEXT),
            (&["2024-05-01"], oid::DATE),
            (&["2024-13-01"], oid::TEXT),
            (&["2024-05-01", "2024-05-01 10:00"], oid::TEXT),
            (&["2024-05-01 10:00:00.5", "2024-05-01T10:00"], oid::TIMESTAMP),
            (&["2024-05-01T10:00:00Z", "2024-05-01 10:00:00+02:00"], oid::TIMESTAMPTZ),
            (&["NaN"], oid::TEXT),
            (&["-", "+"], oid::TEXT),
            (&["\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"], oid::TEXT),
            (&[], oid::TEXT),
        ];
        for (texts, expected) in cases {
            let mut guess = Guess::default();
            texts.iter().for_each(|text| guess.take(Some(text)));
            guess.take(None);
            assert_eq!(guess.type_oid(), expected, "{texts:?}");
        }
    }

    #[test]
    fn members_get_what_takes_all_values() {
        let mut members = Vec::new();
        for line in
            [r#"{"a": 1, "b": "x", "c": null, "n": [1]}"#, r#"{"b": 2, "a": 1.5, "d": {}, "e": true, "n": null}"#]
        {
            take_line(line.as_bytes(), &mut members).expect("an object");
        }
        let found: Vec<(&str, u32)> = members.iter().map(|(name, member)| (name.as_str(), member.type_oid())).collect();
        let expected = [
            ("a", oid::FLOAT8),
            ("b", oid::TEXT),
            ("c", oid::TEXT),
            ("n", oid::JSONB),
            ("d", oid::JSONB),
            ("e", oid::BOOL),
        ];
        assert_eq!(found, expected);
    }
}
