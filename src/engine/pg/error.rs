//! DataFusion's errors as PostgreSQL's: our own travel inside as `External`, its own are mapped by kind.

use datafusion::common::{DataFusionError, SchemaError};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// The client's view of an engine error.
pub(in crate::engine) fn map_error(error: DataFusionError) -> PgError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<PgError>() {
            Ok(ours) => *ours,
            Err(other) => PgError::internal(other.to_string()),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => map_error(*inner),
        DataFusionError::Shared(inner) => match inner.as_ref() {
            DataFusionError::External(boxed) if boxed.is::<PgError>() => {
                boxed.downcast_ref::<PgError>().cloned().expect("checked by the guard")
            }
            other => PgError::internal(other.strip_backtrace()),
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
        other => PgError::internal(other.strip_backtrace()),
    }
}
