//! Attribution: which touch earned the conversion.
//!
//! `journey` makes journeys out of the touches and conversions of one unit, `models` gives the credit of a journey to its touches; both
//! know no Arrow. The remaining files are the SQL functions. Nothing depends on the order, the partitioning or the batch size of the
//! input, and every credit is accounted for: a conversion without a touch is credited to `(unattributed)`.

mod aggregates;
pub mod channels;
pub mod journey;
pub mod models;
pub mod options;
pub mod repeats;
mod results;
mod samples;
pub mod scalars;
mod touch_log;

pub use aggregates::attribution_by;

#[cfg(test)]
pub(crate) mod golden;

use crate::family::Family;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Attribution",
    summary: "Journeys out of events and credit out of journeys. Credits of a conversion sum to 1, a conversion without a touch is credited \
              to (unattributed), and nothing depends on the order of rows. Credit is a convention, not a measure of effect.",
    functions: || {
        vec![aggregates::attribution(), aggregates::journeys(), scalars::attribution_weights(), scalars::path_repeats()]
    },
};
