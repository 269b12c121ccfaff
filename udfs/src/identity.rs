//! Identity without a graph: connected components and the normal forms of identifiers.
//!
//! The durable One-ID graph with its rules, ids and explanations lives in the server; here are the pure functions that
//! need no state.

mod connected_components;
pub mod forest;
pub mod normalise;
mod normalisers;

use crate::family::Family;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Identity",
    summary: "The normal forms under which identifiers are compared, and which records belong together.",
    functions: || {
        let mut functions = normalisers::functions();
        functions.push(connected_components::function());
        functions
    },
};
