//! Identity without a graph: connected components.
//!
//! The durable One-ID graph with its rules, ids and explanations lives in the server; here are the pure functions that
//! need no state.

mod connected_components;
pub mod forest;

use crate::family::Family;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Identity",
    summary: "Which records belong together, from pairs of identifiers alone.",
    functions: || vec![connected_components::function()],
};
