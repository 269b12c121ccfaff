//! Whole-store tests: one file per subject, over one small kit.

mod faults;
mod kit;
mod life;
mod measure;
mod simulation;
