//! The command line: its grammar and what each command does.
//!
//! Every command ends in an exit code: 0 clean, 1 bad configuration or use, 2 data directory in use, 3 data directory
//! damaged or newer, 70 storage failure. Errors go to standard error as one line and, where there is advice, a hint.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Sources, keys};
use crate::server::{Server, StartError};
use crate::{engine, telemetry};

/// Tributary, the customer-data database: identity, segments, journeys and attribution as plain SQL.
///
/// Connect with any PostgreSQL client: psql -h 127.0.0.1 -p 5488 -d tributary
#[derive(Debug, Parser)]
#[command(name = "tributary", version = engine::VERSION, disable_help_subcommand = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a data directory to PostgreSQL clients until told to stop
    #[command(after_long_help = keys::help())]
    Serve(ServeArguments),
    /// Print the version
    Version,
}

#[derive(Args, Debug)]
struct ServeArguments {
    /// Directory of the data; made if it does not exist [env: TRIBUTARY_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args, Debug)]
struct CommonArguments {
    /// Address and port for PostgreSQL clients [default: 127.0.0.1:5488] [env: TRIBUTARY_LISTEN]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Configuration file, TOML [env: TRIBUTARY_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one configuration key, as section.key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Superuser made at the first start [default: postgres]
    #[arg(long, value_name = "NAME")]
    superuser: Option<String>,
    /// File with that superuser's password; without it one is written into the data directory
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Let everyone from loopback in as superuser, without a password
    #[arg(long)]
    trust: bool,
}

/// Why a command failed: its exit code and what to say.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: 1, message: error.to_string() }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { code: error.exit_code(), message: error.to_string() }
    }
}

/// Runs the process's command line.
pub fn run() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Version => {
            println!("tributary {}", engine::VERSION);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tributary: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    let config = configure(&arguments.common, arguments.data_dir.as_ref())?;
    if config.data_dir.is_none() {
        return Err(ConfigError::new("no data directory").hint("Give one with --data-dir DIR.").into());
    }
    telemetry::start(&config.log_filter)?;
    let server = Server::start(&config)?;
    wait_for_signal()?;
    server.stop();
    Ok(())
}

/// The configuration from file, environment and these arguments.
fn configure(common: &CommonArguments, data_dir: Option<&PathBuf>) -> Result<Config, ConfigError> {
    let mut sources = Sources::read(common.config.as_deref())?;
    for assignment in &common.set {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(ConfigError::new(format!("--set {assignment}: the form is section.key=value")));
        };
        sources.flags.push((key.trim().to_owned(), value.to_owned(), "--set".to_owned()));
    }
    let path = |path: &PathBuf| path.display().to_string();
    for (key, value, flag) in [
        ("server.data_dir", data_dir.map(path), "--data-dir"),
        ("server.listen", common.listen.clone(), "--listen"),
        ("server.superuser", common.superuser.clone(), "--superuser"),
        ("server.password_file", common.password_file.as_ref().map(path), "--password-file"),
        ("server.trust", common.trust.then(|| "true".to_owned()), "--trust"),
    ] {
        if let Some(value) = value {
            sources.flags.push((key.to_owned(), value, flag.to_owned()));
        }
    }
    Config::build(&sources)
}

/// Returns at SIGTERM or SIGINT.
fn wait_for_signal() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure { code: 1, message: format!("cannot wait for signals: {error}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
        Ok(())
    })
}
