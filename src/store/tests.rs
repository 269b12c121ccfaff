//! Whole-store tests: one file per subject, over one small kit.

mod backup;
mod compaction;
mod encodings;
mod faults;
mod fuzz_corpora;
mod gate;
mod keys;
mod kit;
mod life;
mod log;
mod measure;
mod measure_keys;
mod model;
mod simulation;
mod sweep;
mod transactions;
mod upkeep;
