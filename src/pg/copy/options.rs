//! The options of COPY, checked with PostgreSQL's messages.

use crate::error::{PgError, PgResult};
use crate::input::parse_bool;
use crate::sqlstate;

/// FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// Tab-separated with backslash escapes.
    #[default]
    Text,
    /// Comma-separated with quotes.
    Csv,
    /// PostgreSQL's binary file format.
    Binary,
    /// One JSON object a line.
    Json,
    /// Apache Parquet.
    Parquet,
}

impl CopyFormat {
    /// Has it bytes of its own rather than lines with delimiters? Gives its name in messages.
    fn own(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Csv => None,
            Self::Binary => Some("BINARY"),
            Self::Json => Some("JSON"),
            Self::Parquet => Some("PARQUET"),
        }
    }
}

/// HEADER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CopyHeader {
    /// No header line.
    #[default]
    Absent,
    /// Written, or skipped when read.
    Present,
    /// Read and compared with the column names.
    Match,
}

/// Where the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// COPY FROM.
    From,
    /// COPY TO.
    To,
}

/// Columns that an option names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ColumnChoice {
    /// None of them.
    #[default]
    None,
    /// `*`
    All,
    /// These.
    Names(Vec<String>),
}

/// An option's value as the statement has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyValue {
    /// A word, a string or a number.
    Text(String),
    /// `(a, b)`
    Names(Vec<String>),
    /// `*`
    Star,
}

/// One option of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOption {
    /// Its name in lower case.
    pub name: String,
    /// Its value.
    pub value: Option<CopyValue>,
    /// Its position in the statement, for errors.
    pub position: Option<usize>,
}

/// All options with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// FORMAT.
    pub format: CopyFormat,
    /// DELIMITER, one ASCII character.
    pub delimiter: u8,
    /// NULL.
    pub null: String,
    /// HEADER.
    pub header: CopyHeader,
    /// QUOTE (csv).
    pub quote: u8,
    /// ESCAPE (csv).
    pub escape: u8,
    /// FORCE_QUOTE (csv, TO).
    pub force_quote: ColumnChoice,
    /// FORCE_NOT_NULL (csv, FROM).
    pub force_not_null: Vec<String>,
    /// FORCE_NULL (csv, FROM).
    pub force_null: Vec<String>,
    /// ENCODING as given; the caller converts.
    pub encoding: Option<String>,
    /// FREEZE, which changes nothing here.
    pub freeze: bool,
}

impl CopyOptions {
    /// The defaults of a format.
    pub fn new(format: CopyFormat) -> Self {
        let csv = format == CopyFormat::Csv;
        Self {
            format,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".to_owned() },
            header: CopyHeader::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: ColumnChoice::None,
            force_not_null: Vec::new(),
            force_null: Vec::new(),
            encoding: None,
            freeze: false,
        }
    }

    /// Checks a statement's options. Unknown ones, repetitions and contradictions are refused with PostgreSQL's codes
    /// and words; names of columns and encodings are not looked up here.
    pub fn parse(options: &[CopyOption], direction: CopyDirection) -> PgResult<Self> {
        let mut given = Given::default();
        for (index, option) in options.iter().enumerate() {
            if options[..index].iter().any(|before| before.name == option.name) {
                return Err(syntax("conflicting or redundant options").or_at(option.position));
            }
            given.read(option, direction).map_err(|error| error.or_at(option.position))?;
        }
        given.check(direction)
    }

    /// The flags of each column of a list: does the choice name it? 42703 if it names a column that is not there.
    pub fn flags(choice: &ColumnChoice, columns: &[String], relation: Option<&str>) -> PgResult<Vec<bool>> {
        match choice {
            ColumnChoice::None => Ok(vec![false; columns.len()]),
            ColumnChoice::All => Ok(vec![true; columns.len()]),
            ColumnChoice::Names(names) => name_flags(names, columns, relation),
        }
    }
}

/// Which of `columns` are among `names`.
pub(crate) fn name_flags(names: &[String], columns: &[String], relation: Option<&str>) -> PgResult<Vec<bool>> {
    let mut flags = vec![false; columns.len()];
    for name in names {
        let Some(at) = columns.iter().position(|column| column == name) else {
            let message = match relation {
                Some(relation) => format!("column \"{name}\" of relation \"{relation}\" does not exist"),
                None => format!("column \"{name}\" does not exist"),
            };
            return Err(PgError::new(sqlstate::UNDEFINED_COLUMN, message));
        };
        flags[at] = true;
    }
    Ok(flags)
}

fn syntax(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::SYNTAX_ERROR, message)
}

fn invalid(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
}

/// Options as given, before they are weighed against each other.
#[derive(Default)]
struct Given {
    format: CopyFormat,
    freeze: bool,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<CopyHeader>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: ColumnChoice,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    encoding: Option<String>,
}

fn text(option: &CopyOption) -> PgResult<String> {
    match &option.value {
        Some(CopyValue::Text(text)) => Ok(text.clone()),
        Some(CopyValue::Star) => Ok("*".to_owned()),
        Some(CopyValue::Names(names)) => Ok(names.join(".")),
        None => Err(syntax(format!("{} requires a parameter", option.name))),
    }
}

fn names(option: &CopyOption) -> PgResult<Vec<String>> {
    match &option.value {
        Some(CopyValue::Names(names)) => Ok(names.clone()),
        _ => Err(invalid(format!("argument to option \"{}\" must be a list of column names", option.name))),
    }
}

fn boolean(option: &CopyOption) -> PgResult<bool> {
    match &option.value {
        None => Ok(true),
        Some(CopyValue::Text(text)) => {
            strict_bool(text).ok_or_else(|| syntax(format!("{} requires a Boolean value", option.name)))
        }
        Some(_) => Err(syntax(format!("{} requires a Boolean value", option.name))),
    }
}

fn strict_bool(text: &str) -> Option<bool> {
    ["true", "false", "on", "off", "1", "0"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
        .then(|| parse_bool(text).ok())
        .flatten()
}

impl Given {
    fn read(&mut self, option: &CopyOption, direction: CopyDirection) -> PgResult<()> {
        match option.name.as_str() {
            "format" => {
                self.format = match text(option)?.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    "json" => CopyFormat::Json,
                    "parquet" => CopyFormat::Parquet,
                    other => return Err(invalid(format!("COPY format \"{other}\" not recognized"))),
                }
            }
            "freeze" => self.freeze = boolean(option)?,
            "delimiter" => self.delimiter = Some(text(option)?),
            "null" => self.null = Some(text(option)?),
            "header" => self.header = Some(header(option, direction)?),
            "quote" => self.quote = Some(text(option)?),
            "escape" => self.escape = Some(text(option)?),
            "force_quote" => {
                self.force_quote = match &option.value {
                    Some(CopyValue::Star) => ColumnChoice::All,
                    _ => ColumnChoice::Names(names(option)?),
                }
            }
            "force_not_null" => self.force_not_null = Some(names(option)?),
            "force_null" => self.force_null = Some(names(option)?),
            "encoding" => self.encoding = Some(text(option)?),
            other => return Err(syntax(format!("option \"{other}\" not recognized"))),
        }
        Ok(())
    }

    fn check_direction(&self, direction: CopyDirection) -> PgResult<()> {
        if self.force_quote != ColumnChoice::None && direction == CopyDirection::From {
            return Err(PgError::unsupported("COPY force quote only available using COPY TO"));
        }
        if self.force_not_null.is_some() && direction == CopyDirection::To {
            return Err(PgError::unsupported("COPY force not null only available using COPY FROM"));
        }
        if self.force_null.is_some() && direction == CopyDirection::To {
            return Err(PgError::unsupported("COPY force null only available using COPY FROM"));
        }
        Ok(())
    }

    fn check(self, direction: CopyDirection) -> PgResult<CopyOptions> {
        let mut options = CopyOptions::new(self.format);
        let csv = self.format == CopyFormat::Csv;
        if let Some(format) = self.format.own() {
            if self.delimiter.is_some() {
                return Err(syntax(format!("cannot specify DELIMITER in {format} mode")));
            }
            if self.null.is_some() {
                return Err(syntax(format!("cannot specify NULL in {format} mode")));
            }
        }
        if let Some(delimiter) = &self.delimiter {
            options.delimiter = one_byte(delimiter, "delimiter")?;
        }
        if matches!(options.delimiter, b'\n' | b'\r') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if let Some(null) = &self.null {
            if null.contains(['\n', '\r']) {
                return Err(invalid("COPY null representation cannot use newline or carriage return"));
            }
            options.null.clone_from(null);
        }
        let delimiter = options.delimiter as char;
        if !csv && (delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit() || matches!(delimiter, '\\' | '.')) {
            return Err(invalid(format!("COPY delimiter cannot be \"{delimiter}\"")));
        }
        options.header = self.header.unwrap_or_default();
        if let Some(format) = self.format.own()
            && options.header != CopyHeader::Absent
        {
            return Err(PgError::unsupported(format!("cannot specify HEADER in {format} mode")));
        }
        for (given, what) in [
            (self.quote.is_some(), "quote"),
            (self.escape.is_some(), "escape"),
            (self.force_quote != ColumnChoice::None, "force quote"),
            (self.force_not_null.is_some(), "force not null"),
            (self.force_null.is_some(), "force null"),
        ] {
            if given && !csv {
                return Err(PgError::unsupported(format!("COPY {what} available only in CSV mode")));
            }
        }
        if let Some(quote) = &self.quote {
            options.quote = one_byte(quote, "quote")?;
            options.escape = options.quote;
        }
        if csv && options.delimiter == options.quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if let Some(escape) = &self.escape {
            options.escape = one_byte(escape, "escape")?;
        }
        self.check_direction(direction)?;
        if self.format.own().is_none() && options.null.as_bytes().contains(&options.delimiter) {
            return Err(PgError::unsupported("COPY delimiter must not appear in the NULL specification"));
        }
        if csv && options.null.as_bytes().contains(&options.quote) {
            return Err(PgError::unsupported("CSV quote character must not appear in the NULL specification"));
        }
        options.force_quote = self.force_quote;
        options.force_not_null = self.force_not_null.unwrap_or_default();
        options.force_null = self.force_null.unwrap_or_default();
        options.encoding = self.encoding;
        options.freeze = self.freeze;
        Ok(options)
    }
}

fn header(option: &CopyOption, direction: CopyDirection) -> PgResult<CopyHeader> {
    let refuse = || syntax("header requires a Boolean value or \"match\"");
    let text = match &option.value {
        None => return Ok(CopyHeader::Present),
        Some(CopyValue::Text(text)) => text,
        Some(_) => return Err(refuse()),
    };
    if text.eq_ignore_ascii_case("match") {
        if direction == CopyDirection::To {
            return Err(PgError::unsupported("cannot use \"match\" with HEADER in COPY TO"));
        }
        return Ok(CopyHeader::Match);
    }
    match strict_bool(text) {
        Some(true) => Ok(CopyHeader::Present),
        Some(false) => Ok(CopyHeader::Absent),
        None => Err(refuse()),
    }
}

fn one_byte(text: &str, what: &str) -> PgResult<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(PgError::unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(spec: &str) -> CopyOption {
        let (name, value) = match spec.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (spec, None),
        };
        let value = value.map(|value| match value {
            "*" => CopyValue::Star,
            _ if value.starts_with('(') => {
                CopyValue::Names(value.trim_matches(['(', ')']).split(',').map(str::to_owned).collect())
            }
            _ => CopyValue::Text(value.to_owned()),
        });
        CopyOption { name: name.to_owned(), value, position: None }
    }

    #[test]
    fn refusals_are_postgresql_s() {
        use CopyDirection::{From, To};
        // Answers of PostgreSQL 15.
        for (direction, options, expect, message) in [
            (From, &["format=nope"][..], "22023", "COPY format \"nope\" not recognized"),
            (From, &["format=csv", "format=text"], "42601", "conflicting or redundant options"),
            (From, &["header=maybe"], "42601", "header requires a Boolean value or \"match\""),
            (To, &["header=match"], "0A000", "cannot use \"match\" with HEADER in COPY TO"),
            (From, &["nope=1"], "42601", "option \"nope\" not recognized"),
            (From, &["delimiter=ab"], "0A000", "COPY delimiter must be a single one-byte character"),
            (From, &["delimiter=\n"], "22023", "COPY delimiter cannot be newline or carriage return"),
            (From, &["delimiter=a"], "22023", "COPY delimiter cannot be \"a\""),
            (From, &["format=csv", "delimiter=a", "quote=a"], "22023", "COPY delimiter and quote must be different"),
            (From, &["format=csv", "quote=aa"], "0A000", "COPY quote must be a single one-byte character"),
            (From, &["quote=a"], "0A000", "COPY quote available only in CSV mode"),
            (From, &["null=\n"], "22023", "COPY null representation cannot use newline or carriage return"),
            (From, &["format=csv", "null=,"], "0A000", "COPY delimiter must not appear in the NULL specification"),
            (
                From,
                &["format=csv", "null=\""],
                "0A000",
                "CSV quote character must not appear in the NULL specification",
            ),
            (From, &["format=binary", "delimiter=,"], "42601", "cannot specify DELIMITER in BINARY mode"),
            (From, &["format=binary", "header"], "0A000", "cannot specify HEADER in BINARY mode"),
            (To, &["format=json", "null=x"], "42601", "cannot specify NULL in JSON mode"),
            (To, &["format=parquet", "header"], "0A000", "cannot specify HEADER in PARQUET mode"),
            (From, &["format=json", "quote=a"], "0A000", "COPY quote available only in CSV mode"),
            (From, &["format=csv", "force_quote=*"], "0A000", "COPY force quote only available using COPY TO"),
            (To, &["format=csv", "force_null=(a)"], "0A000", "COPY force null only available using COPY FROM"),
            (
                To,
                &["format=csv", "force_quote=a"],
                "22023",
                "argument to option \"force_quote\" must be a list of column names",
            ),
            (To, &["delimiter"], "42601", "delimiter requires a parameter"),
        ] {
            let options: Vec<CopyOption> = options.iter().map(|spec| option(spec)).collect();
            let error = CopyOptions::parse(&options, direction).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (expect, message));
        }
    }

    #[test]
    fn defaults_follow_the_format() {
        let csv = CopyOptions::parse(&[option("format=csv"), option("quote='"), option("header")], CopyDirection::From);
        let csv = csv.unwrap();
        assert_eq!((csv.delimiter, csv.quote, csv.escape, csv.null.as_str()), (b',', b'\'', b'\'', ""));
        assert_eq!(csv.header, CopyHeader::Present);
        let text = CopyOptions::parse(&[], CopyDirection::To).unwrap();
        assert_eq!((text.delimiter, text.null.as_str()), (b'\t', "\\N"));
    }
}
