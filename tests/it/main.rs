//! The one integration binary: every module tests one promise.

mod behaviour;
mod catalog;
mod copy;
mod crash;
mod database;
mod demo;
mod dml;
mod dml_traps;
mod examples;
mod give_way;
mod harness;
mod keys;
mod oracle;
mod ordered;
mod power_cut;
mod raw_client;
mod readme;
mod scan;
mod sequences;
mod sessions;
mod tidy;
mod upkeep;
mod wire;
mod wire_scripts;
mod wire_security;
mod write_memory;
