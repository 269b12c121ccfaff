//! The error of a function: what PostgreSQL would tell a client.
//!
//! It travels inside [`DataFusionError::External`] through every layer of the engine, which finds it again with
//! [`SqlError::find`] and sends its fields as they are. Errors that are not a `SqlError` are internal errors.

use std::error::Error;
use std::fmt;

use datafusion_common::DataFusionError;

/// An error with the four fields a PostgreSQL client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Five characters of the SQLSTATE table, e.g. [`INVALID_PARAMETER_VALUE`].
    pub sqlstate: &'static str,
    /// Primary message: lower case, no full stop.
    pub message: String,
    /// DETAIL, a sentence.
    pub detail: Option<String>,
    /// HINT, a sentence.
    pub hint: Option<String>,
}

/// 22023: an argument is outside what the function accepts.
pub const INVALID_PARAMETER_VALUE: &str = "22023";
/// 22003: a number does not fit the result type.
pub const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
/// 22004: NULL where none is allowed.
pub const NULL_VALUE_NOT_ALLOWED: &str = "22004";
/// 22P02: text that is no literal of the type.
pub const INVALID_TEXT_REPRESENTATION: &str = "22P02";
/// 22P03: bytes that are no value of the type.
pub const INVALID_BINARY_REPRESENTATION: &str = "22P03";
/// 42883: no function of this name takes these argument types.
pub const UNDEFINED_FUNCTION: &str = "42883";
/// 42804: argument types disagree.
pub const DATATYPE_MISMATCH: &str = "42804";
/// 54000: a limit of the implementation is exceeded.
pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
/// 54023: more arguments than a function takes.
pub const TOO_MANY_ARGUMENTS: &str = "54023";
/// 42P20: a window is not what the function over it needs.
pub const WINDOWING_ERROR: &str = "42P20";
/// 0A000: legal SQL that is not offered.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// XX001: a partial state is damaged.
pub const DATA_CORRUPTED: &str = "XX001";

impl SqlError {
    /// An error with a message only.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None }
    }

    /// Adds the DETAIL.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the HINT.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// 22023 with this message: the common case of a bad argument.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMETER_VALUE, message)
    }

    /// XX001: the partial state of an aggregate does not decode.
    pub fn corrupt_state(function: &str, detail: impl Into<String>) -> Self {
        Self::new(DATA_CORRUPTED, format!("partial state of {function} is corrupt")).with_detail(detail)
    }

    /// The `SqlError` at the bottom of an engine error, however often it was wrapped.
    pub fn find(error: &DataFusionError) -> Option<&SqlError> {
        let mut current: &(dyn Error + 'static) = error;
        loop {
            if let Some(found) = current.downcast_ref::<SqlError>() {
                return Some(found);
            }
            // External boxes and shared errors hide their content from `source` in some versions; look inside first.
            current = match current.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => inner.as_ref(),
                Some(DataFusionError::Shared(inner)) => inner.as_ref(),
                Some(DataFusionError::Context(_, inner)) => inner.as_ref(),
                _ => current.source()?,
            };
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SqlError {}

impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn found_through_every_wrapper() {
        let error = SqlError::invalid_parameter("half_life must be positive").with_hint("Use days.");
        let plain = DataFusionError::from(error.clone());
        let context = plain.context("while planning");
        let shared = DataFusionError::Shared(Arc::new(context));
        assert_eq!(SqlError::find(&shared), Some(&error));
        assert_eq!(SqlError::find(&DataFusionError::Plan("x".into())), None);
    }
}
