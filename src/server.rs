//! Floor 5: the server. Opens the engine, listens, serves, drains, closes.
//!
//! [`Server::start`] returns when clients can connect; [`Server::stop`] when the last of them has been told goodbye.
//! There are two runtimes: the reactor moves bytes, the query threads do everything else, so that a heavy query never
//! delays another client's bytes. The server ends no process and prints nothing: that is `main`'s business.

mod first_start;
mod machine;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tributary_store::{RealDisk, Store, StoreConfig, StoreError, SystemClock};

use crate::admin::{self, Admin};
use crate::config::{Config, ConfigError};
use crate::engine::{Engine, EngineConfig};
use crate::wire::listener::Wire;
use crate::wire::login::Door;
use crate::wire::slots::{Failures, Slots};
use crate::wire::tls::{self, TlsFiles};

/// Threads beside the workers at most: one a session, of which there are 10,000 at most, and one for each worker that long
/// work has taken out of turn.
const SESSION_THREADS_MAX: usize = 16_384;

/// A machine with less than twice this is asked for it all the same.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// The engine could not be opened.
    Engine(tributary_pg::error::PgError),
    /// The data directory could not be opened.
    Store(StoreError),
    /// Something of the system failed: an address in use, no threads.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
            Self::Store(error) => {
                error.fmt(f)?;
                error.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nHINT: {hint}"))
            }
            Self::System(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// The exit code of a process that could not start because of it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::System(_) | Self::Engine(_) => 1,
            Self::Store(error) => match error.sqlstate {
                "22023" | "58P02" => 1,
                "55006" => 2,
                "XX001" | "XX002" => 3,
                _ => 70,
            },
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<tributary_pg::error::PgError> for StartError {
    fn from(error: tributary_pg::error::PgError) -> Self {
        Self::Engine(error)
    }
}

/// A running server.
pub struct Server {
    engine: Arc<Engine>,
    wire: Arc<Wire>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    superuser: String,
    socket_path: Option<PathBuf>,
    shutdown_timeout: Duration,
    tls_files: Option<TlsFiles>,
    reactor: Runtime,
    queries: Runtime,
}

/// A data directory open without a server: for `tributary sql`.
pub struct Offline {
    engine: Arc<Engine>,
    superuser: String,
    queries: Runtime,
}

impl fmt::Debug for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offline").finish_non_exhaustive()
    }
}

impl Offline {
    /// Opens the data.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let queries = runtime("query", query_threads(config))?;
        Ok(Self { engine: open_engine(config)?, superuser: first_start::superuser_name(config), queries })
    }

    /// The engine over it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Name of the superuser of a new data directory.
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// Runs work on the query threads and waits for it.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.queries.block_on(work)
    }

    /// Closes the data.
    pub fn close(self) {
        self.queries.shutdown_timeout(Duration::from_secs(1));
        settle(&self.engine);
        if let Err(error) = self.engine.store().clone().close() {
            tracing::error!(%error, "the store did not close cleanly; the next start recovers from its log");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the data and listens. Must not be called from within an asynchronous task: it makes its own runtimes.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        admin::figures::keep();
        let tls = config
            .tls_files()
            .map(|files| tls::load(&files.certificate, &files.key))
            .transpose()
            .map_err(|fault| ConfigError::new(fault.0))?;
        let reactor = runtime("reactor", config.reactor_threads)?;
        let queries = runtime("query", query_threads(config))?;
        // Ports before data: an address in use should not cost a recovery. Clients wait in the backlog until then.
        let (listener, address) = listen(&reactor, config.listen)?;
        let admin = config.admin_listen.map(|address| listen(&reactor, address)).transpose()?;
        let engine = open_engine(config)?;
        if config.trust {
            tracing::warn!("trust: everyone who can reach a loopback address of this machine is a superuser");
        }
        let door = Door {
            engine: Arc::clone(&engine),
            rules: config.access_rules(),
            tls: tls.map(arc_swap::ArcSwap::from_pointee),
            trusted_role: config.trust.then(|| first_start::superuser_name(config)),
            slots: Slots::new(config.connections_max, config.connections_reserved),
            failures: Failures::default(),
            secret: rand::random(),
            stopping: CancellationToken::new(),
        };
        let stopping = door.stopping.clone();
        let wire = Wire::new(door, queries.handle().clone(), config.authentication_timeout, config.message_bytes_max);
        reactor.spawn(Arc::clone(&wire).serve_tcp(listener));
        let socket_path = match &config.socket_dir {
            None => None,
            Some(directory) => {
                let (path, listener) = reactor.block_on(async { bind_socket(directory, address.port()) })?;
                reactor.spawn(Arc::clone(&wire).serve_unix(listener));
                Some(path)
            }
        };
        let admin_address = admin.map(|(listener, address)| {
            tracing::info!(%address, "watched on the admin port");
            reactor.spawn(admin::serve(listener, Admin { engine: Arc::clone(&engine), stopping }));
            address
        });
        tracing::info!(%address, "ready for connections");
        let shutdown_timeout = config.shutdown_timeout;
        let superuser = first_start::superuser_name(config);
        let tls_files = config.tls_files();
        Ok(Self {
            engine,
            wire,
            address,
            admin_address,
            superuser,
            socket_path,
            shutdown_timeout,
            tls_files,
            reactor,
            queries,
        })
    }

    /// Where clients connect: the port chosen when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the certificate again. A bad new one is logged, and the old one stays.
    pub fn reload(&self) {
        let (Some(files), Some(tls)) = (&self.tls_files, &self.wire.door.tls) else { return };
        match tls::load(&files.certificate, &files.key) {
            Ok(new) => {
                tls.store(Arc::new(new));
                tracing::info!("the certificate was read again");
            }
            Err(fault) => tracing::error!(%fault, "the certificate stays what it was"),
        }
    }

    /// Where the admin port is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Name of the superuser of a new data directory.
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// Runs work on the query threads and waits for it.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.queries.block_on(work)
    }

    /// Stops: no new clients, idle ones are told goodbye at once, busy ones when their statement ends or the time is
    /// over; then everything is closed. The error is the store's: what was acknowledged is on disk all the same.
    pub fn stop(self) -> Result<(), StoreError> {
        let Self { engine, wire, socket_path, shutdown_timeout, reactor, queries, .. } = self;
        tracing::info!("stopping");
        wire.door.stopping.cancel();
        reactor.block_on(async {
            if tokio::time::timeout(shutdown_timeout, wire.drained()).await.is_err() {
                for backend in engine.activity().list() {
                    backend.terminate();
                }
                if tokio::time::timeout(shutdown_timeout.max(Duration::from_secs(1)), wire.drained()).await.is_err() {
                    tracing::warn!("some statements did not stop in time; their work is rolled back");
                }
            }
        });
        if let Some(path) = socket_path
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(%error, "the socket file was gone already");
        }
        // What still computes is abandoned: its transaction never committed.
        queries.shutdown_timeout(Duration::from_secs(1));
        reactor.shutdown_timeout(Duration::from_secs(1));
        settle(&engine);
        engine.store().clone().close()?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What is not settled is only a gap in some sequence.
fn settle(engine: &Engine) {
    if let Err(error) = engine.settle() {
        tracing::warn!(%error, "sequences go on with a gap");
    }
}

fn open_engine(config: &Config) -> Result<Arc<Engine>, StartError> {
    let Some(data_dir) = &config.data_dir else {
        return Err(ConfigError::new("no data directory was given").hint("Use --data-dir DIR.").into());
    };
    // Every session begins with these: a wrong one would keep everybody out.
    Engine::check_settings(config.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    let (store, queries) = open_store(config, data_dir)?;
    // A crash between the two leaves a directory without roles, which is still a new one.
    let verifier = match store.snapshot().object_count() {
        0 => first_start::verifier(config, data_dir)?,
        _ => None,
    };
    let engine_config = EngineConfig {
        database: config.database.clone(),
        query_memory_bytes: config.query_memory_bytes.unwrap_or(usize::try_from(queries).unwrap_or(usize::MAX >> 1)),
        spill_bytes: config.temp_bytes_max as u64,
        target_partitions: config.query_threads,
        settings: config.settings.iter().cloned().collect(),
        first_superuser: (first_start::superuser_name(config), verifier),
        ..EngineConfig::default()
    };
    Ok(Engine::open(engine_config, store)?)
}

/// The store, and the bytes of its memory that are left for queries.
fn open_store(config: &Config, data_dir: &std::path::Path) -> Result<(Store, u64), StartError> {
    let mut store = StoreConfig { data_dir: data_dir.to_owned(), ..StoreConfig::default() };
    store.listen_note = config.listen.to_string();
    store.accept_data_loss = config.accept_data_loss;
    store.set_memory((machine::memory_bytes() / 2).max(MEMORY_BYTES_MIN));
    let keys = config.store.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    store.set_all(keys).map_err(StartError::Store)?;
    let budget = store.validate().and_then(|()| store.budget()).map_err(StartError::Store)?;
    let disk = if store.unsafe_no_fsync { RealDisk::without_fsync() } else { RealDisk::new() };
    let store = Store::open(&store, Arc::new(disk), Arc::new(SystemClock::new())).map_err(StartError::Store)?;
    Ok((store, budget.queries))
}

fn listen(reactor: &Runtime, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = reactor.block_on(TcpListener::bind(address));
    listener
        .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)))
        .map_err(|error| StartError::System(format!("cannot listen on {address}: {error}")))
}

fn query_threads(config: &Config) -> usize {
    match config.query_threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        threads => threads,
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, StartError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(format!("tributary-{name}"))
        .thread_stack_size(crate::engine::STACK_BYTES)
        .max_blocking_threads(SESSION_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|error| StartError::System(format!("cannot start {name} threads: {error}")))
}

/// Makes the socket file PostgreSQL clients look for. Its directory is closed to other users, which is what the peer
/// method relies on.
fn bind_socket(directory: &std::path::Path, port: u16) -> Result<(PathBuf, UnixListener), StartError> {
    use std::os::unix::fs::PermissionsExt;
    let wrong =
        |error: std::io::Error| StartError::System(format!("cannot make a socket in {}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(wrong)?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(wrong)?;
    let path = directory.join(format!(".s.PGSQL.{port}"));
    match std::fs::remove_file(&path) {
        Ok(()) => tracing::debug!(path = %path.display(), "replaced the socket of an earlier run"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(error)),
    }
    let listener = UnixListener::bind(&path).map_err(wrong)?;
    Ok((path, listener))
}
