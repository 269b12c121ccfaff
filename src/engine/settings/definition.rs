//! What is known of each setting: PostgreSQL 15's own table, our additions, and which ones have an effect here.

use std::collections::BTreeMap;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Phase;
use super::value::{invalid, parse_bool, parse_integer, show_integer};

/// Rows of pg_settings of PostgreSQL 15.18, in COPY text format with header.
const PG_SETTINGS: &str = include_str!("pg_settings.tsv");

/// Type and range.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// on or off.
    Bool,
    /// Whole number with an optional unit.
    Integer {
        /// Unit a bare number means.
        unit: Option<String>,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Fractional number.
    Real {
        /// Unit a bare number means.
        unit: Option<String>,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// One of a few words.
    Enum(Vec<String>),
    /// Any text.
    Text,
}

/// What setting it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// As in PostgreSQL.
    Real,
    /// Checked, stored and shown, without effect.
    Accepted,
    /// Shows a fact that cannot be changed.
    Fixed,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Own spelling.
    pub name: String,
    /// Type and range.
    pub kind: Kind,
    /// What setting it does.
    pub class: Class,
    /// As SHOW prints it.
    pub default: String,
    /// PostgreSQL's context word: internal, postmaster, sighup, backend, superuser, user.
    pub context: String,
    /// Heading in pg_settings.
    pub category: String,
    /// One line.
    pub short_desc: String,
    /// RESET ALL leaves it alone.
    pub no_reset_all: bool,
}

/// Settings with PostgreSQL's effect.
const REAL: &[&str] = &[
    "search_path",
    "timezone",
    "datestyle",
    "intervalstyle",
    "bytea_output",
    "extra_float_digits",
    "client_encoding",
    "client_min_messages",
    "application_name",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "standard_conforming_strings",
    "role",
    "session_authorization",
    "row_security",
    "work_mem",
    "temp_file_limit",
    "password_encryption",
    "synchronous_commit",
    "xmloption",
    "check_function_bodies",
];

/// Facts, whatever PostgreSQL's context word says.
const FIXED: &[&str] = &[
    "server_version",
    "server_version_num",
    "server_encoding",
    "integer_datetimes",
    "block_size",
    "max_identifier_length",
    "max_index_keys",
    "lc_collate",
    "lc_ctype",
    "in_hot_standby",
];

/// Where our value differs from PostgreSQL's default.
const DEFAULTS: &[(&str, &str)] = &[
    ("statement_timeout", "30min"),
    ("idle_in_transaction_session_timeout", "10min"),
    ("max_connections", "200"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("lc_messages", "C.UTF-8"),
    ("lc_monetary", "C.UTF-8"),
    ("lc_numeric", "C.UTF-8"),
    ("lc_time", "C.UTF-8"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("server_version_num", "150018"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("datestyle", "ISO, MDY"),
    ("search_path", "\"$user\", public"),
    ("is_superuser", "off"),
    ("in_hot_standby", "off"),
    ("transaction_isolation", "read committed"),
    ("session_authorization", ""),
    ("role", "none"),
    ("application_name", ""),
    ("password_encryption", "scram-sha-256"),
];

/// All definitions by lower case name.
pub(super) fn all() -> BTreeMap<String, Definition> {
    let mut all: BTreeMap<String, Definition> =
        PG_SETTINGS.lines().skip(1).filter_map(from_row).map(|d| (d.name.to_lowercase(), d)).collect();
    for definition in own() {
        all.insert(definition.name.to_lowercase(), definition);
    }
    for (name, default) in DEFAULTS {
        if let Some(definition) = all.get_mut(*name) {
            definition.default = (*default).to_owned();
        }
    }
    all
}

/// A row of the table; the columns are in the file's header.
fn from_row(line: &str) -> Option<Definition> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, setting, unit, category, short_desc, context, vartype, min, max, enumvals, _boot] = fields[..] else {
        return None;
    };
    let some = |text: &str| (text != "\\N").then(|| text.to_owned());
    let unit = some(unit);
    let kind = match vartype {
        "bool" => Kind::Bool,
        "integer" => Kind::Integer { unit, min: min.parse().ok()?, max: max.parse().ok()? },
        "real" => Kind::Real { unit, min: min.parse().ok()?, max: max.parse().ok()? },
        "enum" => Kind::Enum(
            enumvals.trim_matches(['{', '}']).split(',').map(|word| word.trim_matches('"').to_owned()).collect(),
        ),
        _ => Kind::Text,
    };
    let key = name.to_lowercase();
    let class = if FIXED.contains(&key.as_str()) || context == "internal" {
        Class::Fixed
    } else if REAL.contains(&key.as_str()) {
        Class::Real
    } else {
        Class::Accepted
    };
    let default = match (&kind, some(setting)) {
        (Kind::Integer { unit, .. }, Some(setting)) => {
            setting.parse().map_or(setting, |value| show_integer(value, unit.as_deref()))
        }
        (_, setting) => setting.unwrap_or_default(),
    };
    let mut short_desc = short_desc.to_owned();
    if class == Class::Accepted {
        short_desc.push_str(" (accepted, no effect)");
    }
    Some(Definition {
        no_reset_all: matches!(
            key.as_str(),
            "role"
                | "session_authorization"
                | "transaction_isolation"
                | "transaction_read_only"
                | "transaction_deferrable"
                | "is_superuser"
                | "seed"
        ),
        name: name.to_owned(),
        kind,
        class,
        default,
        context: context.to_owned(),
        category: category.to_owned(),
        short_desc,
    })
}

/// Settings PostgreSQL has not, or hides from pg_settings.
fn own() -> Vec<Definition> {
    let own = |name: &str, kind, class, default: &str, short_desc: &str| Definition {
        name: name.to_owned(),
        kind,
        class,
        default: default.to_owned(),
        context: if class == Class::Fixed { "internal" } else { "user" }.to_owned(),
        category: "Tributary".to_owned(),
        short_desc: short_desc.to_owned(),
        no_reset_all: matches!(name, "is_superuser" | "session_authorization" | "role"),
    };
    let words = |words: &[&str]| Kind::Enum(words.iter().map(|word| (*word).to_owned()).collect());
    vec![
        own(
            "server_version",
            Kind::Text,
            Class::Fixed,
            &format!("15.18 (Tributary {})", crate::engine::VERSION),
            "Shows the server version.",
        ),
        own("is_superuser", Kind::Bool, Class::Fixed, "off", "Shows whether the current role is a superuser."),
        own("session_authorization", Kind::Text, Class::Real, "", "Sets the session user name."),
        own("role", Kind::Text, Class::Real, "none", "Sets the current role."),
        own(
            "tributary.idempotency_token",
            Kind::Text,
            Class::Real,
            "",
            "Names the next INSERT, COPY or MERGE: sent again under the same name it is not done again.",
        ),
        own(
            "roaringbitmap.output_format",
            words(&["bytea", "array"]),
            Class::Real,
            "bytea",
            "Sets how bitmaps are printed: portable bytes in hex, or their elements in braces.",
        ),
    ]
}

impl Definition {
    /// 55P02 if it cannot be set now.
    pub(super) fn check_settable(&self, phase: Phase) -> Result<(), PgError> {
        let refuse = |how: &str| {
            Err(PgError::new(sqlstate::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{}\" {how}", self.name)))
        };
        match (self.class, self.context.as_str(), phase) {
            (Class::Fixed, ..) => refuse("cannot be changed"),
            (_, "postmaster", _) => refuse("cannot be changed without restarting the server"),
            (_, "sighup", Phase::Session) => refuse("cannot be changed now"),
            (_, "backend" | "superuser-backend", Phase::Session) => refuse("cannot be set after connection start"),
            _ => Ok(()),
        }
    }

    /// A value as pg_settings shows it: numbers in the setting's own unit.
    pub(crate) fn in_base_unit(&self, shown: &str) -> String {
        match &self.kind {
            Kind::Integer { unit, .. } => {
                parse_integer(shown, unit.as_deref()).map_or_else(|()| shown.to_owned(), |value| value.to_string())
            }
            _ => shown.to_owned(),
        }
    }

    /// Checks a value and gives it back as SHOW prints it.
    pub(super) fn normalise(&self, value: &str) -> Result<String, PgError> {
        let bad = || invalid(&self.name, value);
        match &self.kind {
            Kind::Bool => match parse_bool(value) {
                Some(flag) => self.check_meaning(if flag { "on" } else { "off" }.to_owned()),
                None => Err(PgError::new(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    format!("parameter \"{}\" requires a Boolean value", self.name),
                )),
            },
            Kind::Integer { unit, min, max } => {
                // A hint on units helps only where a number is followed by an unknown one.
                let numeric = value.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
                let number = parse_integer(value, unit.as_deref())
                    .map_err(|()| bad().hint_opt(unit.as_deref().filter(|_| numeric).map(unit_hint)))?;
                if number < *min || number > *max {
                    return Err(self.out_of_range(
                        &number.to_string(),
                        unit.as_deref(),
                        &min.to_string(),
                        &max.to_string(),
                    ));
                }
                Ok(show_integer(number, unit.as_deref()))
            }
            Kind::Real { unit, min, max } => {
                let number: f64 = value.trim().parse().map_err(|_| bad())?;
                if !(number >= *min && number <= *max) {
                    return Err(self.out_of_range(
                        &number.to_string(),
                        unit.as_deref(),
                        &min.to_string(),
                        &max.to_string(),
                    ));
                }
                Ok(number.to_string())
            }
            Kind::Enum(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(value.trim()))
                .cloned()
                .or_else(|| self.boolean_word(words, value))
                .ok_or_else(|| bad().hint(format!("Available values: {}.", words.join(", ")))),
            Kind::Text => self.check_meaning(value.to_owned()),
        }
    }

    /// Many enums take boolean spellings for their on and off words.
    fn boolean_word(&self, words: &[String], value: &str) -> Option<String> {
        let word = if parse_bool(value)? { "on" } else { "off" };
        words.iter().find(|known| *known == word).cloned()
    }

    /// Texts and flags with a meaning of their own.
    fn check_meaning(&self, value: String) -> Result<String, PgError> {
        let bad = || invalid(&self.name, &value);
        match self.name.to_lowercase().as_str() {
            "standard_conforming_strings" | "row_security" if value == "off" => {
                Err(PgError::unsupported(format!("{} = off is not supported", self.name)))
            }
            "client_encoding" => match encoding_name(&value).as_str() {
                "UTF8" | "UNICODE" => Ok("UTF8".to_owned()),
                "SQLASCII" => Ok("SQL_ASCII".to_owned()),
                _ => Err(bad()),
            },
            "timezone" | "log_timezone" => super::zone::normalise(&value).ok_or_else(bad),
            "datestyle" => super::zone::date_style(&value).ok_or_else(bad),
            _ => Ok(value),
        }
    }

    fn out_of_range(&self, value: &str, unit: Option<&str>, min: &str, max: &str) -> PgError {
        let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
        PgError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("{value}{unit} is outside the valid range for parameter \"{}\" ({min} .. {max})", self.name),
        )
    }
}

fn unit_hint(unit: &str) -> String {
    match unit {
        "us" | "ms" | "s" | "min" => {
            "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".".to_owned()
        }
        _ => "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".".to_owned(),
    }
}

/// An encoding's name as PostgreSQL compares it: letters and digits only, so `'utf-8'` with its quotes is UTF8 too.
fn encoding_name(value: &str) -> String {
    value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase()
}
