//! What people do in order: funnels, sequences, retention, sessions.

pub mod funnel;
pub mod funnel_mode;
#[cfg(test)]
pub(crate) mod golden;
pub mod rows;
