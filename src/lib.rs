//! Tributary, the customer-data database: identity, segments, journeys and attribution as plain SQL over the
//! PostgreSQL wire.
//!
//! Read the modules in this order: `dialect` turns text into statements, `engine` turns statements into results,
//! `wire` carries both. The store and the functions are crates of their own: `tributary_store`, `tributary_udfs`;
//! PostgreSQL's values and errors are `tributary_pg`.

pub mod admin;
pub mod dialect;
pub mod engine;
pub mod wire;

pub mod command;
pub mod config;
pub mod console;
pub mod demo;
pub mod server;
pub mod telemetry;

pub use tributary_pg::error;
