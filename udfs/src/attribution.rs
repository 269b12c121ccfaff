//! Attribution: which touch earned the conversion.
//!
//! `journey` makes journeys out of the touches and conversions of one unit, `models` gives the credit of a journey to its touches; both
//! know no Arrow. The remaining files are the SQL functions. Nothing depends on the order, the partitioning or the batch size of the
//! input, and every credit is accounted for: a conversion without a touch is credited to `(unattributed)`.

pub mod journey;
pub mod models;
pub mod repeats;

#[cfg(test)]
pub(crate) mod golden;
