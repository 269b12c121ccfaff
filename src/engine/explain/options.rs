//! The options of EXPLAIN, in both spellings.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use crate::dialect::sqlparser::ast::{Expr, Statement as Sql, UtilityOption, Value};

/// FORMAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum Format {
    /// One row a line.
    #[default]
    Text,
    /// One row.
    Json,
}

/// What EXPLAIN was asked for.
#[derive(Clone, Debug)]
pub(in crate::engine) struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
    pub costs: bool,
    pub timing: bool,
    pub summary: bool,
    pub format: Format,
    /// Our own: the engine's plans instead.
    pub engine: bool,
}

impl ExplainOptions {
    /// The options of a statement; 42601 for an unknown one, 22023 for a value it cannot take.
    pub(super) fn of(sql: &Sql) -> Result<Self, PgError> {
        let Sql::Explain { analyze, verbose, options, .. } = sql else {
            return Err(PgError::internal("EXPLAIN was not recognised as one"));
        };
        let mut all = Self {
            analyze: *analyze,
            verbose: *verbose,
            costs: true,
            timing: true,
            summary: *analyze,
            format: Format::Text,
            engine: false,
        };
        let (mut timing, mut summary) = (None, None);
        for option in options.iter().flatten() {
            let name = option.name.value.to_lowercase();
            match name.as_str() {
                "analyze" | "analyse" => all.analyze = flag(option, "analyze")?,
                "verbose" => all.verbose = flag(option, &name)?,
                "costs" => all.costs = flag(option, &name)?,
                "timing" => timing = Some(flag(option, &name)?),
                "summary" => summary = Some(flag(option, &name)?),
                "engine" => all.engine = flag(option, &name)?,
                // Nothing of ours belongs to them: there are no shared buffers, and settings are shown by SHOW.
                "buffers" | "settings" | "wal" => drop(flag(option, &name)?),
                "format" => all.format = format(option)?,
                _ => {
                    return Err(PgError::new(
                        sqlstate::SYNTAX_ERROR,
                        format!("unrecognized EXPLAIN option \"{name}\""),
                    ));
                }
            }
        }
        if timing == Some(true) && !all.analyze {
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "EXPLAIN option TIMING requires ANALYZE"));
        }
        all.timing = timing.unwrap_or(all.analyze);
        all.summary = summary.unwrap_or(all.analyze);
        Ok(all)
    }
}

fn word(option: &UtilityOption) -> Option<String> {
    Some(match option.arg.as_ref()? {
        Expr::Identifier(ident) => ident.value.to_lowercase(),
        Expr::Value(value) => match &value.value {
            Value::Boolean(on) => on.to_string(),
            Value::Number(digits, _) => digits.clone(),
            Value::SingleQuotedString(text) => text.to_lowercase(),
            other => other.to_string().to_lowercase(),
        },
        other => other.to_string().to_lowercase(),
    })
}

fn flag(option: &UtilityOption, name: &str) -> Result<bool, PgError> {
    match word(option).as_deref() {
        None | Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        Some(_) => Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    }
}

fn format(option: &UtilityOption) -> Result<Format, PgError> {
    match word(option).unwrap_or_default().as_str() {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        known @ ("xml" | "yaml") => {
            Err(PgError::unsupported(format!("EXPLAIN in format {} is not supported", known.to_uppercase())))
        }
        other => Err(PgError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("unrecognized value for EXPLAIN option \"format\": \"{other}\""),
        )),
    }
}
