//! DataFusion's errors as PostgreSQL's: our own travel inside as `External`, its own are mapped by kind and text.
//!
//! Nothing that a statement can cause is XX000: what DataFusion says of a statement is a mapped PostgreSQL error or, when
//! no rule knows it, 0A000 with its text. XX000 is left for what DataFusion itself calls internal.

use arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, SchemaError};
use tributary_pg::error::{PgError, SqlState, nearest};
use tributary_pg::sqlstate;

use crate::dialect::forms::visible;
use crate::dialect::semantics::SourceText;
use crate::dialect::sqlparser::tokenizer::Location;

/// The same with the position DataFusion knows, in the text the statement was parsed from.
pub(in crate::engine) fn located(error: DataFusionError, source: &SourceText) -> PgError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let position = span.map(|span| source.position(Location { line: span.start.line, column: span.start.column }));
    map_error(error).or_at(position.filter(|position| *position > 0))
}

/// The client's view of an engine error.
pub(in crate::engine) fn map_error(error: DataFusionError) -> PgError {
    match tributary_udfs::SqlError::find(&error) {
        Some(ours) => function_error(ours),
        None => mapped(&error),
    }
}

/// The same wherever the error lies: an operator that several wait for shares it among them.
fn mapped(error: &DataFusionError) -> PgError {
    match error {
        DataFusionError::External(inner) => inside(inner.as_ref(), |text| PgError::internal(text.to_owned())),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => mapped(inner),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => mapped(first),
            None => PgError::internal("an empty list of errors"),
        },
        DataFusionError::Shared(inner) => mapped(inner),
        DataFusionError::ArrowError(inner, _) => arrow_error(inner),
        DataFusionError::IoError(error) => io_error(error),
        DataFusionError::NotImplemented(message) => by_text(message),
        DataFusionError::ResourcesExhausted(message) => exhausted(message),
        DataFusionError::SchemaError(inner, _) => schema_error(inner),
        DataFusionError::Internal(message) => internal(message),
        other => by_text(&other.strip_backtrace()),
    }
}

fn arrow_error(error: &ArrowError) -> PgError {
    match error {
        ArrowError::ExternalError(inner) => inside(inner.as_ref(), by_text),
        ArrowError::IoError(_, error) => io_error(error),
        ArrowError::DivideByZero => PgError::new(sqlstate::DIVISION_BY_ZERO, "division by zero"),
        other => by_text(&other.to_string()),
    }
}

/// An error in another's box.
fn inside(error: &(dyn std::error::Error + Send + Sync + 'static), unknown: impl Fn(&str) -> PgError) -> PgError {
    if let Some(ours) = error.downcast_ref::<PgError>() {
        return ours.clone();
    }
    match (error.downcast_ref::<DataFusionError>(), error.downcast_ref::<ArrowError>()) {
        (Some(nested), _) => mapped(nested),
        (_, Some(nested)) => arrow_error(nested),
        _ => unknown(&error.to_string()),
    }
}

/// Temporary files: a limit of theirs travels as an error of the disk.
fn io_error(error: &std::io::Error) -> PgError {
    let message = error.to_string();
    if message.contains(SPILL_LIMIT) {
        return exhausted(&message);
    }
    if let Some(inner) = error.get_ref().filter(|inner| inner.is::<PgError>() || inner.is::<DataFusionError>()) {
        return inside(inner, by_text);
    }
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => sqlstate::DISK_FULL,
        _ => sqlstate::IO_ERROR,
    };
    PgError::new(code, format!("could not use a temporary file: {message}"))
}

/// What the engine says when temporary files meet their limit.
const SPILL_LIMIT: &str = "disk space during the spilling process";

/// A limit that was met: of memory, or of the spill directory.
fn exhausted(message: &str) -> PgError {
    if message.contains(SPILL_LIMIT) {
        return PgError::new(sqlstate::CONFIGURATION_LIMIT_EXCEEDED, "temporary files exceed their limit")
            .detail(message.to_owned())
            .hint("Raise server.temp_limit, or work on fewer rows at a time.");
    }
    PgError::new(sqlstate::OUT_OF_MEMORY, "out of memory")
        .detail(message.to_owned())
        .hint("Raise server.query_memory, or work on fewer rows at a time.")
}

/// The error of one of our functions, which knows its own SQLSTATE.
fn function_error(ours: &tributary_udfs::SqlError) -> PgError {
    let code = SqlState::parse(ours.sqlstate).unwrap_or(sqlstate::INTERNAL_ERROR);
    let mut error = PgError::new(code, ours.message.clone());
    error.detail = ours.detail.clone();
    error.hint = ours.hint.clone();
    error
}

fn schema_error(error: &SchemaError) -> PgError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let shown = match &field.relation {
                Some(relation) => format!("{}.{}", relation.table(), visible(&field.name)),
                None => format!("\"{}\"", visible(&field.name)),
            };
            if let Some(relation) = &field.relation {
                let known = valid_fields
                    .iter()
                    .any(|one| one.relation.as_ref().is_some_and(|own| own.table() == relation.table()));
                if !known {
                    let message = format!("missing FROM-clause entry for table \"{}\"", relation.table());
                    return PgError::new(sqlstate::UNDEFINED_TABLE, message);
                }
            }
            let same = |one: &&Column| {
                let own = field.relation.as_ref().is_none_or(|relation| one.relation.as_ref() == Some(relation));
                own && one.name != field.name && visible(&one.name) == field.name
            };
            if valid_fields.iter().filter(same).count() > 1 {
                let message = format!("column reference \"{}\" is ambiguous", field.name);
                return PgError::new(sqlstate::AMBIGUOUS_COLUMN, message);
            }
            let hint = nearest(&field.name, valid_fields.iter().map(|one| one.name.as_str())).map(|near| {
                let full = valid_fields.iter().find(|one| one.name == near);
                match full.and_then(|one| one.relation.as_ref()) {
                    Some(relation) => {
                        format!("Perhaps you meant to reference the column \"{}.{}\".", relation.table(), visible(near))
                    }
                    None => format!("Perhaps you meant to reference the column \"{}\".", visible(near)),
                }
            });
            let message = format!("column {shown} does not exist");
            PgError::new(sqlstate::UNDEFINED_COLUMN, message).hint_opt(hint)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", visible(&field.name));
            PgError::new(sqlstate::AMBIGUOUS_COLUMN, message)
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            let message = format!("column reference \"{}\" is ambiguous", visible(name));
            PgError::new(sqlstate::AMBIGUOUS_COLUMN, message).detail(format!("Relation {qualifier} has it twice."))
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("column reference \"{}\" is ambiguous", visible(name));
            PgError::new(sqlstate::AMBIGUOUS_COLUMN, message)
        }
    }
}

/// What DataFusion calls internal is mostly a feature its planner does not have.
fn internal(message: &str) -> PgError {
    match known(message) {
        Some(error) => error,
        None => PgError::internal(message.to_owned()),
    }
}

/// A message of DataFusion's, by what it says.
fn by_text(message: &str) -> PgError {
    known(message).unwrap_or_else(|| {
        let plain = message
            .trim_start_matches("Error during planning: ")
            .trim_start_matches("Execution error: ")
            .trim_start_matches("This feature is not implemented: ");
        PgError::unsupported(plain.lines().next().unwrap_or(plain).to_owned())
    })
}

/// Parts of messages, and what PostgreSQL says instead; `{}` takes the text between the two marks.
const KNOWN: &[(&str, &str, &str, SqlState, &str)] = &[
    (
        "must appear in the GROUP BY clause",
        "Column in SELECT must be in GROUP BY or an aggregate function: ",
        "",
        sqlstate::GROUPING_ERROR,
        "column must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "Column in",
        "While expanding wildcard, column \"",
        "\"",
        sqlstate::GROUPING_ERROR,
        "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "must be in GROUP BY",
        "",
        "",
        sqlstate::GROUPING_ERROR,
        "column must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "HAVING clause references",
        "",
        "",
        sqlstate::GROUPING_ERROR,
        "column must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "FILTER clause can only be used with aggregate window functions",
        "",
        "",
        sqlstate::FEATURE_NOT_SUPPORTED,
        "FILTER is not implemented for non-aggregate window functions",
    ),
    (
        "Order by column out of bounds",
        "specified: ",
        ",",
        sqlstate::INVALID_COLUMN_REFERENCE,
        "ORDER BY position {} is not in select list",
    ),
    (
        "Cannot find column with position",
        "position ",
        " ",
        sqlstate::INVALID_COLUMN_REFERENCE,
        "GROUP BY position {} is not in select list",
    ),
    (
        "ORDER BY expressions",
        "",
        "",
        sqlstate::INVALID_COLUMN_REFERENCE,
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    (
        "ON expressions must match the initial ORDER BY",
        "",
        "",
        sqlstate::INVALID_COLUMN_REFERENCE,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    ),
    ("subquery should only return one column", "", "", sqlstate::SYNTAX_ERROR, "subquery must return only one column"),
    (
        "returned more than one row",
        "",
        "",
        sqlstate::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    ),
    (
        "more than one row",
        "",
        "",
        sqlstate::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    ),
    ("Divide by zero", "", "", sqlstate::DIVISION_BY_ZERO, "division by zero"),
    ("Overflow happened on", "", "", sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
    ("Arithmetic overflow", "", "", sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
    (
        "is too large to store in a Decimal",
        "",
        "",
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    ),
    ("The window ", "The window ", " is not defined", sqlstate::UNDEFINED_OBJECT, "window \"{}\" does not exist"),
    ("Invalid function", "Invalid function '", "'", sqlstate::UNDEFINED_FUNCTION, "function {} does not exist"),
    (
        "Aggregate functions are not allowed in the WHERE",
        "",
        "",
        sqlstate::GROUPING_ERROR,
        "aggregate functions are not allowed in WHERE",
    ),
    (
        "Aggregate function calls cannot be nested",
        "",
        "",
        sqlstate::GROUPING_ERROR,
        "aggregate function calls cannot be nested",
    ),
    (
        "Inconsistent data length across values list",
        "",
        "",
        sqlstate::SYNTAX_ERROR,
        "VALUES lists must all be the same length",
    ),
    (
        "WITH query name",
        "WITH query name \"",
        "\"",
        sqlstate::DUPLICATE_ALIAS,
        "WITH query name \"{}\" specified more than once",
    ),
    (
        "columns available but",
        "",
        "",
        sqlstate::INVALID_COLUMN_REFERENCE,
        "table has fewer columns available than specified",
    ),
    ("but only", "", "", sqlstate::INVALID_COLUMN_REFERENCE, "table has fewer columns available than specified"),
    (
        "Projections require unique expression names",
        "",
        "",
        sqlstate::FEATURE_NOT_SUPPORTED,
        "two equal expressions in one list are not supported here",
    ),
    ("not found in FROM clause", "", "", sqlstate::UNDEFINED_TABLE, "missing FROM-clause entry for table"),
    ("No field named", "No field named ", ".", sqlstate::UNDEFINED_COLUMN, "column {} does not exist"),
];

fn known(message: &str) -> Option<PgError> {
    let (_, before, after, code, text) = KNOWN.iter().find(|(part, ..)| message.contains(part))?;
    let found = if before.is_empty() {
        ""
    } else {
        let rest = message.split_once(before).map_or("", |(_, rest)| rest);
        if after.is_empty() { rest } else { rest.split(after).next().unwrap_or("") }
    };
    Some(PgError::new(*code, text.replace("{}", visible(found))))
}
