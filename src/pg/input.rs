//! Text to value: one parser per type.
//!
//! These are PostgreSQL's input functions: lenient where it is, with its messages and SQLSTATEs. All of them take any
//! string without panicking and allocate in proportion to it. Columns are filled through [`crate::builder`]; single
//! values through [`crate::value`].

pub mod array;
pub mod bitmap;
pub mod boolean;
pub mod bytea;
pub mod datetime;
pub(crate) mod datetime_decode;
pub(crate) mod datetime_scan;
pub mod inet;
pub mod integer;
pub mod interval;
pub mod json;
pub mod number;
pub mod numeric;
pub mod string;
pub mod uuid;

pub use array::{ArrayElement, parse_array};
pub use bitmap::{parse_roaringbitmap, parse_roaringbitmap64};
pub use boolean::parse_bool;
pub use bytea::parse_bytea;
pub use datetime::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub use inet::{parse_cidr, parse_inet};
pub use integer::{parse_int2, parse_int4, parse_int8, parse_oid};
pub use interval::parse_interval;
pub use json::{canonical_jsonb, check_json};
pub use number::{parse_float4, parse_float8};
pub use numeric::{parse_numeric, parse_numeric_free};
pub use string::{fit_bpchar, fit_varchar};
pub use uuid::parse_uuid;

use crate::style::TextStyle;

/// What input functions need to know beside the text.
#[derive(Clone, Copy, Debug)]
pub struct InputContext<'a> {
    /// DateStyle, IntervalStyle, TimeZone.
    pub style: &'a TextStyle,
    /// The transaction's start in microseconds since 1970-01-01 UTC: what `now` and `today` mean.
    pub now_us: i64,
}

/// Is it white space to C's isspace? Numbers and booleans may have it around them.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'))
}
