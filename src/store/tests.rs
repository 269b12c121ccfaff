//! Whole-store tests: one file per subject, over one small kit.

mod kit;
mod life;
mod simulation;
