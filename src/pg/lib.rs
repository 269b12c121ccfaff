//! PostgreSQL values over Arrow: one parser and one printer per type, the type table, errors. No DataFusion, no sockets.

pub mod error;
pub mod sqlstate;

pub use error::{PgError, PgResult, Severity, SqlState};
