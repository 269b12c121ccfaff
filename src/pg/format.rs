//! The pattern functions: to_char, to_date, to_timestamp, to_number.
//!
//! PostgreSQL's template patterns, in the C locale, for dates, intervals and numbers. A pattern is read once and used
//! for a whole column. Names of months and days are English; currency and separators are those of the C locale.

pub mod datetime_out;
pub mod datetime_pattern;
pub mod number;

pub use datetime_pattern::DatePattern;
pub use number::NumberPattern;

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
