//! Statistics: sums and, later, distributions and tests.
//!
//! Promises that every answer is independent of row order and partitioning. Does not repeat what the engine's own
//! aggregates do well.

pub mod exact_sum;
mod sum_exact;

pub use exact_sum::ExactSum;

use crate::family::Family;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Statistics",
    summary: "Aggregates whose answer does not depend on row order, partitioning or thread count.",
    functions: || vec![sum_exact::function()],
};
