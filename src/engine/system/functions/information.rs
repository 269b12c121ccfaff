//! The helpers of information_schema: lengths, precisions and scales of types.

use tributary_pg::error::PgResult;

use super::arguments::{integer, oid};
use super::{Definition, function};
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("_pg_char_max_length", &[2], "int4", |_, args| with_type(args, char_max_length)),
    function("_pg_char_octet_length", &[2], "int4", |_, args| with_type(args, char_octet_length)),
    function("_pg_numeric_precision", &[2], "int4", |_, args| with_type(args, numeric_precision)),
    function("_pg_numeric_precision_radix", &[2], "int4", |_, args| with_type(args, numeric_radix)),
    function("_pg_numeric_scale", &[2], "int4", |_, args| with_type(args, numeric_scale)),
    function("_pg_datetime_precision", &[2], "int4", |_, args| with_type(args, datetime_precision)),
];

fn with_type(args: &[Cell], of: fn(u32, i32) -> Option<i32>) -> PgResult<Cell> {
    let typmod = i32::try_from(integer(&args[1])?).unwrap_or(-1);
    Ok(of(oid(&args[0])?, typmod).into())
}

fn char_max_length(ty: u32, typmod: i32) -> Option<i32> {
    match ty {
        1042 | 1043 if typmod >= 0 => Some(typmod - 4),
        1560 | 1562 if typmod >= 0 => Some(typmod),
        _ => None,
    }
}

fn char_octet_length(ty: u32, typmod: i32) -> Option<i32> {
    match ty {
        25 | 1042 | 1043 => Some(match char_max_length(ty, typmod) {
            Some(length) => length.saturating_mul(4),
            None => 1 << 30,
        }),
        _ => None,
    }
}

fn numeric_precision(ty: u32, typmod: i32) -> Option<i32> {
    match ty {
        21 => Some(16),
        23 => Some(32),
        20 => Some(64),
        700 => Some(24),
        701 => Some(53),
        1700 if typmod >= 0 => Some(((typmod - 4) >> 16) & 0xffff),
        _ => None,
    }
}

fn numeric_radix(ty: u32, _: i32) -> Option<i32> {
    match ty {
        20 | 21 | 23 | 700 | 701 => Some(2),
        1700 => Some(10),
        _ => None,
    }
}

fn numeric_scale(ty: u32, typmod: i32) -> Option<i32> {
    match ty {
        20 | 21 | 23 => Some(0),
        1700 if typmod >= 0 => Some((typmod - 4) & 0x7ff),
        _ => None,
    }
}

fn datetime_precision(ty: u32, typmod: i32) -> Option<i32> {
    match ty {
        1082 => Some(0),
        1083 | 1114 | 1184 | 1266 => Some(if typmod < 0 { 6 } else { typmod }),
        1186 => Some(if typmod < 0 || typmod & 0xffff == 0xffff { 6 } else { typmod & 0xffff }),
        _ => None,
    }
}
