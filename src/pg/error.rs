//! The one error type that reaches a client.
//!
//! `PgError` carries every field of PostgreSQL's ErrorResponse. It promises to be one pointer wide, so that
//! `Result<T, PgError>` stays cheap in parsers that are called once a value. It deliberately knows nothing of the
//! wire: writing it out, filtering by `client_min_messages` and mapping foreign errors happen above.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::sqlstate;

/// Five characters of the SQL standard's error code; the names are in [`crate::sqlstate`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// A code from its five ASCII characters. Panics at compile time in constants if the length is wrong.
    pub const fn new(code: &str) -> Self {
        let bytes = code.as_bytes();
        assert!(bytes.len() == 5 && code.is_ascii(), "a SQLSTATE has five ASCII characters");
        Self([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
    }

    /// A code from text that arrives at run time; `None` unless it is five digits and upper case letters.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).then_some(Self(bytes))
    }

    /// The five characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The two characters of the error class.
    pub fn class(&self) -> &str {
        &self.as_str()[..2]
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a message is, in PostgreSQL's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Details for developers.
    Debug,
    /// For the server's log.
    Log,
    /// Asked for by the user, always shown.
    Info,
    /// Worth knowing.
    Notice,
    /// Probably a mistake.
    Warning,
    /// Ends the statement.
    Error,
    /// Ends the connection.
    Fatal,
    /// Ends the server.
    Panic,
}

impl Severity {
    /// The word sent in fields S and V.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Log => "LOG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
        }
    }
}

/// The fields of an error or notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgErrorFields {
    /// ERROR unless said otherwise.
    pub severity: Severity,
    /// The SQLSTATE.
    pub code: SqlState,
    /// Primary message: lower case, no full stop.
    pub message: String,
    /// DETAIL, a sentence.
    pub detail: Option<String>,
    /// HINT, a sentence.
    pub hint: Option<String>,
    /// 1-based character position in the statement.
    pub position: Option<usize>,
    /// CONTEXT, one line per level.
    pub context: Option<String>,
    /// Schema of the object at fault.
    pub schema: Option<String>,
    /// Table of the object at fault.
    pub table: Option<String>,
    /// Column of the object at fault.
    pub column: Option<String>,
    /// Data type of the object at fault.
    pub datatype: Option<String>,
    /// Constraint of the object at fault.
    pub constraint: Option<String>,
}

/// A PostgreSQL error or notice, one pointer wide. Its fields are reached through `Deref`.
#[derive(Clone, PartialEq, Eq)]
pub struct PgError(Box<PgErrorFields>);

/// Result with a [`PgError`].
pub type PgResult<T> = Result<T, PgError>;

impl PgError {
    /// An ERROR with a code and a primary message.
    #[cold]
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(PgErrorFields {
            severity: Severity::Error,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            schema: None,
            table: None,
            column: None,
            datatype: None,
            constraint: None,
        }))
    }

    /// The same with another severity (NOTICE, FATAL, ...).
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// Sets DETAIL.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Sets HINT.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets HINT when there is one.
    #[must_use]
    pub fn hint_opt(mut self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.0.hint = hint;
        }
        self
    }

    /// Sets the 1-based character position.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Sets the position unless one is known.
    #[must_use]
    pub fn or_at(mut self, position: Option<usize>) -> Self {
        self.0.position = self.0.position.or(position);
        self
    }

    /// Adds a line of CONTEXT, inner levels first.
    #[must_use]
    pub fn context(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        self.0.context = Some(match self.0.context.take() {
            Some(inner) => format!("{inner}\n{line}"),
            None => line,
        });
        self
    }

    /// Names the table at fault.
    #[must_use]
    pub fn table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.schema = Some(schema.into());
        self.0.table = Some(table.into());
        self
    }

    /// Names the column at fault.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }

    /// Names the data type at fault.
    #[must_use]
    pub fn datatype(mut self, datatype: impl Into<String>) -> Self {
        self.0.datatype = Some(datatype.into());
        self
    }

    /// Names the constraint at fault.
    #[must_use]
    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.0.constraint = Some(constraint.into());
        self
    }

    /// 0A000: something PostgreSQL has and we do not.
    #[cold]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
    }

    /// XX000: a state that cannot happen.
    #[cold]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(sqlstate::INTERNAL_ERROR, message)
    }

    /// 22P02 `invalid input syntax for type integer: "x"`, which most input functions share.
    #[cold]
    pub fn invalid_input(type_name: &str, input: &str) -> Self {
        Self::new(
            sqlstate::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type {type_name}: \"{input}\""),
        )
    }

    /// The fields, taken out of the box.
    pub fn into_fields(self) -> PgErrorFields {
        *self.0
    }
}

impl Deref for PgError {
    type Target = PgErrorFields;
    fn deref(&self) -> &PgErrorFields {
        &self.0
    }
}

impl DerefMut for PgError {
    fn deref_mut(&mut self) -> &mut PgErrorFields {
        &mut self.0
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity.as_str(), self.code, self.message)?;
        for (name, value) in [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)] {
            if let Some(value) = value {
                write!(f, " {name}: {value}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for PgError {}

/// The candidate closest to a misspelt name, for HINT lines such as `Perhaps you meant "name".`
///
/// Case is ignored. A candidate counts when at most a third of the longer name's characters, and at least one
/// character, differ (one swap of neighbours is one difference). The first of equally close ones wins. Cost: the
/// product of the lengths for each candidate; names over 63 characters are not compared.
pub fn nearest<'a, S: AsRef<str> + ?Sized + 'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let chars: Vec<char> = candidate.to_lowercase().chars().collect();
        let longer = wanted.len().max(chars.len());
        if longer == 0 || longer > 63 {
            continue;
        }
        let allowed = (longer / 3).max(1).min(longer.saturating_sub(1));
        if wanted.len().abs_diff(chars.len()) > allowed {
            continue;
        }
        let distance = edit_distance(&wanted, &chars);
        if distance <= allowed && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0usize; width * (a.len() + 1)];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let cell = if i == 0 || j == 0 {
                i + j
            } else {
                let swap_cost = usize::from(a[i - 1] != b[j - 1]);
                let mut cell = (rows[(i - 1) * width + j] + 1)
                    .min(rows[i * width + j - 1] + 1)
                    .min(rows[(i - 1) * width + j - 1] + swap_cost);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    cell = cell.min(rows[(i - 2) * width + j - 2] + 1);
                }
                cell
            };
            rows[i * width + j] = cell;
        }
    }
    rows[width * (a.len() + 1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_pointer_wide() {
        assert_eq!(size_of::<PgError>(), size_of::<usize>());
        assert_eq!(size_of::<PgResult<()>>(), size_of::<usize>());
    }

    #[test]
    fn nearest_finds_typos_only() {
        let names = ["customer_id", "country", "name", "created_at"];
        for (typo, expect) in [
            ("nmae", Some("name")),
            ("CUNTRY", Some("country")),
            ("customerid", Some("customer_id")),
            ("createdat", Some("created_at")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(typo, names), expect, "{typo}");
        }
    }

    #[test]
    fn context_lines_stack_inner_first() {
        let error = PgError::invalid_input("integer", "x").context("inner").context("outer");
        assert_eq!(error.context.as_deref(), Some("inner\nouter"));
        assert_eq!(error.code.as_str(), "22P02");
        assert_eq!(error.message, "invalid input syntax for type integer: \"x\"");
    }

    #[test]
    fn codes_parse() {
        assert_eq!(SqlState::parse("22P02"), Some(sqlstate::INVALID_TEXT_REPRESENTATION));
        assert_eq!(SqlState::parse("22p02"), None);
        assert_eq!(SqlState::parse("2202"), None);
    }
}
