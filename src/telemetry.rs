//! The server's own log: lines on standard error.
//!
//! error = act now, warn = look today, info = state changed. Fields, not prose; no personal data, and no query text at
//! info. The level is set once, at start.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;

/// Starts the log with a filter in the form of `RUST_LOG`. A second start in one process, as tests do, changes nothing.
pub fn start(filter: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| ConfigError::new(format!("log.filter: {error}")).hint("Try info, warn or tributary=debug."))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    if log.try_init().is_err() {
        tracing::debug!("the log is already running");
    }
    Ok(())
}
