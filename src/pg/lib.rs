//! PostgreSQL values over Arrow.
//!
//! What a value of each PostgreSQL type is in Arrow, how it is read from text and binary, how it is written to both,
//! and what goes wrong on the way, in PostgreSQL's words. One parser and one printer a type: literals, casts,
//! parameters, COPY, array elements and the wire all go through the same functions, column by column.
//!
//! This crate promises never to panic on input and never to allocate more than in proportion to it. It deliberately
//! has no sessions, no catalog and no query engine: settings come in as a [`style::TextStyle`], the clock as an
//! argument, and names of tables or roles behind `reg*` types are the caller's affair.

pub mod error;
pub mod sqlstate;

pub mod type_table;
pub mod types;
pub mod typmod;

pub mod reg_names;
pub mod style;
pub mod zone;
pub mod zone_table;

pub mod datetime;
pub mod fields;
pub mod interval;
pub mod numeric;

pub mod input;
pub mod text;

pub mod binary;
pub mod builder;
pub mod value;

pub mod copy;
pub mod format;
pub mod rows;

#[cfg(test)]
mod oracle_tests;

pub use builder::InputBuilder;
pub use error::{PgError, PgErrorFields, PgResult, Severity, SqlState, nearest};
pub use style::TextStyle;
pub use text::{ColumnText, TextPrinter};
pub use types::{PgType, TypeKind, TypeRef};
pub use value::PgValue;
