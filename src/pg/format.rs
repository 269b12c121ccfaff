//! to_char: PostgreSQL's template patterns for output. Reading by pattern (to_date, to_timestamp, to_number) is not here.
//!
//! The patterns are those of the C locale, for dates, intervals and numbers. A pattern is read once and used
//! for a whole column. Names of months and days are English; currency and separators are those of the C locale.

pub mod datetime_out;
pub mod datetime_pattern;
pub mod number;

pub use datetime_pattern::DatePattern;
pub use number::NumberPattern;

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
