//! Behaviour: what people do in order. Funnels, sequences, retention, sessions.
//!
//! The algorithms (`funnel`, ...) work on rows of a time and a mask of conditions and know no Arrow; `row_aggregate` collects such rows for
//! groups in any order and any split; the remaining files are the SQL functions. Every answer is defined by a sentence, not by a loop, and
//! no answer depends on the order, the partitioning or the batch size of the input. Reports over relations are the engine's.

pub mod arguments;
pub mod cohort_unit;
pub mod funnel;
pub mod funnel_mode;
pub mod funnel_reports;
pub mod funnel_unit;
mod retention;
pub mod row_aggregate;
pub mod rows;
pub mod sequence;
mod sequence_functions;
pub mod sequence_pattern;
pub mod session_unit;
mod sessionize;
pub mod time;
mod unit_aggregate;
mod unit_log;
pub mod window_funnel;

#[cfg(test)]
pub(crate) mod golden;
mod samples;

use crate::family::Family;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Behaviour",
    summary: "What people do in order: funnels, sequences, retention and sessions. A NULL condition is false, a row with NULL time is \
              ignored, windows are inclusive, and rows of equal time have no order unless a function says so.",
    functions: || {
        let mut functions =
            vec![window_funnel::level(), window_funnel::times(), retention::function(), sessionize::function()];
        functions.extend(sequence_functions::functions());
        functions
    },
};
