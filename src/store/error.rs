//! The one error type of the store.
//!
//! For: every failure that leaves this crate carries a SQLSTATE, a primary message, and where known a DETAIL and a
//! HINT, so that the floors above pass it to a client unchanged. Promises: corruption names file and offset.
//! Does not: depend on any SQL or wire type.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::Oid;

/// Result of every fallible operation of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A failure with PostgreSQL's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// Five-character SQLSTATE.
    pub sqlstate: &'static str,
    /// Primary message: lower case, no full stop.
    pub message: String,
    /// DETAIL, a sentence.
    pub detail: Option<String>,
    /// HINT, a sentence.
    pub hint: Option<String>,
    /// 23505: which key, so that the floors above can name it.
    pub key: Option<Arc<KeyClash>>,
}

/// A key that another transaction has committed first.
#[derive(Debug)]
pub struct KeyClash {
    /// The table.
    pub table: Oid,
    /// `KeyDef::id`.
    pub key: Oid,
    /// One array of one row per column of the key.
    pub values: Vec<ArrayRef>,
}

impl PartialEq for KeyClash {
    fn eq(&self, other: &Self) -> bool {
        (self.table, self.key, &self.values) == (other.table, other.key, &other.values)
    }
}

impl Eq for KeyClash {}

impl StoreError {
    /// An error with only a primary message.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None, key: None }
    }

    /// The same error with a DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with a HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the key it is about.
    #[must_use]
    pub(crate) fn with_key(mut self, key: KeyClash) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// XX000: something this code holds impossible.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("XX000", message)
    }

    /// XX001: stored bytes are not what was written.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new("XX001", message)
    }

    /// 40001 `could not serialize access due to concurrent <what>`.
    pub fn conflict(what: &str) -> Self {
        Self::new("40001", format!("could not serialize access due to concurrent {what}"))
            .with_hint("Retry the transaction.")
    }

    /// 22023: a setting has a value it cannot take.
    pub fn setting(message: impl Into<String>) -> Self {
        Self::new("22023", message)
    }

    /// An operating system error while doing `what` to `path`: 53100 for a full disk, 58030 otherwise.
    pub fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let full = matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge
        );
        let message = format!("could not {what} file \"{}\": {error}", path.display());
        if full {
            return Self::new("53100", message)
                .with_hint("Free space on the file system of the data directory; writing then goes on by itself.");
        }
        Self::new("58030", message)
    }

    /// 08007: the write was handed to the kernel, but nobody knows whether it is on the disk.
    pub fn outcome_unknown() -> Self {
        Self::new("08007", "commit outcome unknown: storage failed while syncing")
    }

    /// 57P01: the store no longer takes work.
    pub fn closed() -> Self {
        Self::new("57P01", "the store is closed")
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for StoreError {}

impl From<arrow::error::ArrowError> for StoreError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal(format!("arrow: {error}"))
    }
}
