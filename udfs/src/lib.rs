//! Tributary's SQL functions: arrays in, arrays out.
//!
//! Every function belongs to one family, and [`FAMILIES`] is the one list of them: registration, the reference page
//! `sql/FUNCTIONS.md` and the laws every function must keep are all driven by it, so a function cannot be half added.
//!
//! What a caller may rely on: no function reads a clock, a file, the environment or global state; partial results merge
//! in any split and order to the same answer; bad input is an error with a SQLSTATE ([`SqlError`]), never a panic.
//! This crate does not plan, does not own operators and does not know a session: the engine maps operators, casts and
//! quoted literals onto the functions here.
//!
//! To add a function: write it in its family's folder, add it to the family's list with its [`Documentation`] and its
//! [`LawCase`]s, run the tests once with `TRIBUTARY_BLESS=1` to regenerate the page.

pub mod arguments;
pub mod documentation;
pub mod error;
pub mod family;
pub mod frame;
pub mod type_name;

pub mod attribution;
pub mod behaviour;
pub mod bitmap;
pub mod identity;
pub mod statistics;

#[cfg(test)]
mod laws;

pub use documentation::{Documentation, Example, examples, render_functions_markdown};
pub use error::SqlError;
pub use family::{Family, Function, Implementation, LawArgument, LawCase, register_all};

/// All families in the order of the reference page. The one list.
pub const FAMILIES: &[Family] =
    &[attribution::FAMILY, behaviour::FAMILY, bitmap::FAMILY, identity::FAMILY, statistics::FAMILY];
