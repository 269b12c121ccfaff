//! DataFusion's errors as PostgreSQL's: our own travel inside as `External`, its own are mapped by kind.

use datafusion::common::{DataFusionError, SchemaError};
use tributary_pg::error::{PgError, SqlState};
use tributary_pg::sqlstate;

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
    match error {
        DataFusionError::External(inner) => match inner.downcast::<PgError>() {
            Ok(ours) => *ours,
            Err(other) => map_function_error(&DataFusionError::External(other)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => map_error(*inner),
        DataFusionError::Shared(inner) => match inner.as_ref() {
            DataFusionError::External(boxed) if boxed.is::<PgError>() => {
                boxed.downcast_ref::<PgError>().cloned().expect("checked by the guard")
            }
            other => map_function_error(other),
        },
        DataFusionError::NotImplemented(message) => PgError::unsupported(message),
        DataFusionError::ResourcesExhausted(message) => {
            PgError::new(sqlstate::OUT_OF_MEMORY, "out of memory").detail(message)
        }
        DataFusionError::SchemaError(inner, _) => match *inner {
            SchemaError::FieldNotFound { field, .. } => {
                PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{}\" does not exist", field.name))
            }
            SchemaError::AmbiguousReference { field } => {
                PgError::new(sqlstate::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
            }
            other => PgError::new(sqlstate::SYNTAX_ERROR, other.to_string()),
        },
        other => map_function_error(&other),
    }
}

/// The error of one of our functions, wherever it was wrapped; anything else is internal.
fn map_function_error(error: &DataFusionError) -> PgError {
    let Some(ours) = tributary_udfs::SqlError::find(error) else {
        return PgError::internal(error.strip_backtrace());
    };
    let code = SqlState::parse(ours.sqlstate).unwrap_or(sqlstate::INTERNAL_ERROR);
    let mut error = PgError::new(code, ours.message.clone());
    error.detail = ours.detail.clone();
    error.hint = ours.hint.clone();
    error
}
