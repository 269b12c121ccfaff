//! to_char, and to_date, to_timestamp, to_number the other way: PostgreSQL's template patterns.
//!
//! The patterns are those of the C locale, for dates, intervals and numbers. A pattern is read once and used
//! for a whole column. Names of months and days are English; currency and separators are those of the C locale.

pub mod datetime_in;
pub mod datetime_out;
pub mod datetime_pattern;
pub mod number;
mod number_in;

pub use datetime_in::ReadTime;
pub use datetime_pattern::DatePattern;
pub use number::NumberPattern;

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
