//! The command line: its grammar and what each command does.
//!
//! Every command ends in an exit code: 0 clean, 1 bad configuration or use, 2 data directory in use, 3 data directory
//! damaged or newer, 70 storage failure. Errors go to standard error as one line and, where there is advice, a hint.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tributary_pg::error::PgError;

use crate::config::{Config, ConfigError, Sources, keys};
use crate::console::{Console, render};
use crate::server::{Offline, Server, StartError};
use crate::{demo, engine, telemetry};

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
    /// Load the bundled shop, answer an analyst's questions with it, then keep serving
    Demo(DemoArguments),
    /// Run statements and print their answers
    Sql(SqlArguments),
    /// Check every byte of a stopped data directory or a backup
    Check {
        /// The directory
        dir: PathBuf,
    },
    /// Copy a backup to a new data directory and check the copy
    Restore {
        /// The backup
        backup: PathBuf,
        /// The new data directory: missing or empty
        dir: PathBuf,
    },
    /// Set the metadata store of a stopped data directory aside and make it again from the last checkpoint and the log
    RebuildMeta {
        /// The directory
        dir: PathBuf,
    },
    /// Print the version
    Version,
}

#[derive(Args, Debug)]
struct DemoArguments {
    /// Directory of the data [default: a new one below the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Compare the answers with the expected figures and end: exit code 0 if all are right, 1 otherwise
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args, Debug)]
struct SqlArguments {
    /// Statements, separated by semicolons
    text: String,
    /// Directory of the data; no server may be using it [env: TRIBUTARY_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArguments,
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
    /// Start even if acknowledged data is damaged; what is lost is written to LOSS files in the data directory
    #[arg(long)]
    accept_data_loss: bool,
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
        Command::Demo(arguments) => demo(&arguments),
        Command::Sql(arguments) => sql(&arguments),
        Command::Check { dir } => check(&dir),
        Command::Restore { backup, dir } => restore(&backup, &dir),
        Command::RebuildMeta { dir } => rebuild_meta(&dir),
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
    server.engine().store().set_fatal_hook(|error| {
        // What is on disk is known to a new start only, so this process must not answer any more.
        tracing::error!(%error, "storage failed; the server ends");
        std::process::exit(70);
    });
    wait_for_signal(|| server.reload())?;
    Ok(server.stop().map_err(StartError::Store)?)
}

/// Runs the demo against a server that already listens, so that its progress can be watched from psql.
fn demo(arguments: &DemoArguments) -> Result<(), Failure> {
    let mut config = configure(&arguments.common, arguments.data_dir.as_ref())?;
    let kept = config.data_dir.is_some();
    let temporary = if kept { None } else { Some(temporary_directory()?) };
    if let Some(directory) = &temporary {
        config.data_dir = Some(directory.clone());
    }
    if !arguments.common.trust && config.superuser.is_none() && config.access.is_empty() {
        // A demo is for whoever sits at this machine: no password to look for. Only loopback is trusted.
        config.trust = true;
    }
    telemetry::start(if config.log_filter == Config::default().log_filter { "warn" } else { &config.log_filter })?;
    let server = Server::start(&config)?;
    let outcome = answer_questions(&server, &config);
    let verdict = match outcome {
        Ok(verdict) => verdict,
        Err(message) => {
            stop(server);
            return Err(Failure { code: 1, message });
        }
    };
    if !arguments.check {
        let address = server.address();
        println!(
            "\nServing. Ask your own questions:\n\n    psql -h {} -p {} -U {} -d {}\n\nCtrl-C ends it.",
            address.ip(),
            address.port(),
            server.superuser(),
            config.database
        );
        wait_for_signal(|| server.reload())?;
    }
    stop(server);
    if let Some(directory) = temporary
        && let Err(error) = std::fs::remove_dir_all(&directory)
    {
        eprintln!("tributary: {} is left behind: {error}", directory.display());
    }
    if arguments.check && verdict.failed > 0 {
        return Err(Failure { code: 1, message: format!("{} figures are not as expected", verdict.failed) });
    }
    Ok(())
}

/// Stops the demo's server; a store that did not close cleanly recovers at its next start, so it is only said.
fn stop(server: Server) {
    if let Err(error) = server.stop() {
        eprintln!("tributary: {error}");
    }
}

fn answer_questions(server: &Server, config: &Config) -> Result<demo::Verdict, String> {
    println!(
        "Tributary {} over {}",
        engine::VERSION,
        config.data_dir.as_ref().map_or_else(String::new, |d| d.display().to_string())
    );
    server.block_on(demo::run(server.engine(), server.superuser(), &mut std::io::stdout().lock()))
}

fn temporary_directory() -> Result<PathBuf, Failure> {
    let name = format!("tributary-demo-{}-{:08x}", std::process::id(), rand::random::<u32>());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory)
        .map_err(|error| Failure { code: 1, message: format!("cannot make {}: {error}", directory.display()) })?;
    Ok(directory)
}

/// Runs statements on a directory that no server uses.
fn sql(arguments: &SqlArguments) -> Result<(), Failure> {
    let config = configure(&arguments.common, arguments.data_dir.as_ref())?;
    if config.data_dir.is_none() {
        return Err(ConfigError::new("no data directory").hint("Give one with --data-dir DIR.").into());
    }
    telemetry::start("warn")?;
    let offline = Offline::open(&config)?;
    let outcome = offline.block_on(async {
        let mut console = Console::open(offline.engine(), offline.superuser())?;
        let answers = console.run(&arguments.text).await?;
        Ok::<_, PgError>((answers, console.notices()))
    });
    offline.close();
    let (answers, notices) = outcome.map_err(|error| Failure { code: 1, message: format!("{error:?}") })?;
    for notice in notices {
        eprintln!("{}:  {}", notice.severity.as_str(), notice.message);
    }
    for answer in answers {
        print!("{}", render(&answer));
    }
    Ok(())
}

/// Prints one line per finding.
fn check(dir: &std::path::Path) -> Result<(), Failure> {
    let disk: Arc<dyn tributary_store::Disk> = Arc::new(tributary_store::RealDisk::new());
    let findings = tributary_store::check(dir, &disk)
        .map_err(|error| Failure { code: 2, message: format!("cannot read {}: {error}", dir.display()) })?;
    for finding in &findings {
        println!("{finding}");
    }
    // Notes are worth reading, but nothing is wrong with the data.
    match findings.iter().filter(|finding| finding.damage).count() {
        0 => {
            println!("{}: no damage found", dir.display());
            Ok(())
        }
        count => Err(Failure { code: 1, message: format!("{count} findings of damage in {}", dir.display()) }),
    }
}

/// Copies a backup.
fn restore(backup: &std::path::Path, dir: &std::path::Path) -> Result<(), Failure> {
    let disk: Arc<dyn tributary_store::Disk> = Arc::new(tributary_store::RealDisk::new());
    let files = tributary_store::restore(backup, dir, &disk).map_err(StartError::Store)?;
    println!("{}: {files} files restored and checked", dir.display());
    Ok(())
}

/// Makes the metadata store again.
fn rebuild_meta(dir: &std::path::Path) -> Result<(), Failure> {
    let config = tributary_store::StoreConfig::at(dir);
    let seq = tributary_store::rebuild_meta(&config).map_err(StartError::Store)?;
    println!("{}: metadata rebuilt up to commit {seq}", dir.display());
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
    let mut config = Config::build(&sources)?;
    config.accept_data_loss = common.accept_data_loss;
    Ok(config)
}

/// Waits to be told to stop; SIGHUP only reads files again.
fn wait_for_signal(reload: impl Fn()) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure { code: 1, message: format!("cannot wait for signals: {error}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM"),
                _ = interrupt.recv() => tracing::info!("SIGINT"),
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP");
                    reload();
                    continue;
                }
            }
            return Ok(());
        }
    })
}
