//! Floor 3: sessions, statements, catalog, scans, writes. The only place that names DataFusion's engine.
//!
//! The life of a statement: [`Session::parse`] cuts the text; [`Session::analyze`] plans it and knows its parameters and
//! columns; [`Session::bind`] gives it values and makes a [`Portal`]; [`Session::run`] starts it and says what comes back;
//! [`Session::fetch`] pulls rows under one cancellation token; [`Session::finish`] commits what the message owns.
//!
//! An [`Engine`] is shared by all connections; a [`Session`] belongs to one of them and is built from the engine's
//! shared parts, so nothing of one session is visible to another.

pub mod activity;
pub mod catalog;
mod constraints;
mod copy;
mod dml;
mod explain;
mod external;
mod few_rows;
mod files;
mod filters;
mod foreign;
mod give_way;
mod idempotency;
mod limits;
mod named;
mod notify;
mod pg;
mod planner;
mod prepared;
mod row_locks;
mod row_stream;
mod scan;
mod sequences;
mod session;
mod session_vars;
mod settings;
mod sorted_groups;
mod state_pool;
mod statement;
mod store_error;
pub mod system;
mod table;
mod table_functions;
mod table_locks;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use tributary_pg::error::PgError;
use tributary_store::Store;

use catalog::shared::SharedCatalog;
use catalog::{Catalog, CatalogObject, TEMPORARY_PREFIX};
use dml::KeyTurns;
use notify::Channels;
use sequences::Sequences;
use state_pool::{PooledState, StatePool};
use table_locks::TableLocks;

pub use activity::{Activity, CancelReason};
pub use catalog::verifier::Verifier;
pub use copy::{CopyChunk, CopyIn, CopyOut};
pub use notify::Notification;
pub use prepared::{Outcome, OutputColumn, Portal, PortalState, Prepared};
pub use row_stream::RowStream;
pub use session::{Drained, Implicit, Session};
pub use transaction::TransactionStatus;

/// Stack of each thread. Reason: parser, planner and optimizer recurse, a frame of an unoptimised build is large, and
/// NESTING_MAX levels must fit. Only pages that are touched cost memory.
pub const STACK_BYTES: usize = 64 << 20;

/// Product version shown in `server_version` and `version()`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the engine needs to know before it starts.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Name of the one database.
    pub database: String,
    /// Bytes of the query pool.
    pub query_memory_bytes: usize,
    /// Bytes spilled at a time by all queries.
    pub spill_bytes: u64,
    /// Partitions of a query; 0 = one a core.
    pub target_partitions: usize,
    /// Settings of the configuration file.
    pub settings: HashMap<String, String>,
    /// Whether plans are optimized. Without it only what makes a plan runnable is done; the answers are the same.
    pub optimizer: bool,
    /// Superuser made when there are no roles yet: name and SCRAM verifier.
    pub first_superuser: (String, Option<String>),
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            database: "tributary".to_owned(),
            query_memory_bytes: 2 << 30,
            spill_bytes: 50 << 30,
            target_partitions: 0,
            settings: HashMap::new(),
            optimizer: true,
            first_superuser: ("postgres".to_owned(), None),
        }
    }
}

/// Who connects.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// Role, already authenticated.
    pub user: String,
    /// Database asked for.
    pub database: String,
    /// Settings of the startup packet, in order.
    pub settings: Vec<(String, String)>,
    /// Peer address, `None` for a Unix socket or in-process use.
    pub peer: Option<std::net::SocketAddr>,
}

/// What a login must know of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRole {
    /// LOGIN.
    pub can_login: bool,
    /// SUPERUSER.
    pub superuser: bool,
    /// SCRAM verifier, if the role has a password.
    pub verifier: Option<String>,
    /// VALID UNTIL has passed.
    pub expired: bool,
}

/// What all connections share.
pub struct Engine {
    config: EngineConfig,
    store: Store,
    activity: Arc<Activity>,
    /// Functions, planners and rules: built once, lent to each statement.
    states: StatePool,
    memory: Arc<dyn MemoryPool>,
    channels: Channels,
    catalog: SharedCatalog,
    started_at: SystemTime,
    key_turns: KeyTurns,
    table_locks: Arc<TableLocks>,
    tokens: idempotency::LastLook,
    sequences: Sequences,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("database", &self.config.database).finish_non_exhaustive()
    }
}

impl Engine {
    /// Builds the shared parts.
    pub fn open(config: EngineConfig, store: Store) -> Result<Arc<Self>, PgError> {
        let runtime =
            limits::runtime(config.query_memory_bytes, config.spill_bytes, store.data_dir()).map_err(pg::map_error)?;
        let memory = Arc::clone(&runtime.memory_pool);
        let base_state = base_state(&config, runtime).map_err(pg::map_error)?;
        if store.snapshot().object_count() == 0 {
            write_first_objects(&store, &config)?;
        }
        drop_left_over(&store)?;
        let snapshot = store.snapshot();
        let objects = catalog::stored::load(&snapshot)?;
        catalog::stored::complete_keys(&store, &objects)?;
        let catalog = SharedCatalog::open(objects, catalog::stored::next_oid(&snapshot)?);
        Ok(Arc::new(Self {
            activity: Arc::default(),
            catalog,
            config,
            store,
            states: StatePool::new(base_state),
            memory,
            channels: Channels::default(),
            started_at: SystemTime::now(),
            key_turns: KeyTurns::default(),
            table_locks: Arc::default(),
            tokens: idempotency::LastLook::default(),
            sequences: Sequences::default(),
        }))
    }

    /// An engine over a new directory, for unit tests.
    #[cfg(test)]
    pub(crate) fn open_temporary() -> Arc<Self> {
        use tributary_store::{RealDisk, StoreConfig, SystemClock};
        let data_dir = tempfile::tempdir().expect("a temporary directory").keep();
        let config = StoreConfig { data_dir, ..StoreConfig::default() };
        let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
        Self::open(EngineConfig::default(), store).expect("opens")
    }

    /// Checks settings that sessions shall begin with.
    pub fn check_settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), PgError> {
        settings::Settings::open(settings).map(drop)
    }

    /// Opens a session. Errors are those of PostgreSQL's login: unknown database 3D000, bad setting.
    pub fn connect(self: &Arc<Self>, login: Login) -> Result<Session, PgError> {
        Session::open(Arc::clone(self), login)
    }

    /// The role of that name as a login sees it.
    pub fn login_role(&self, name: &str) -> Option<LoginRole> {
        let catalog = self.catalog();
        let role = catalog.role(name)?;
        let now_us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_micros());
        Some(LoginRole {
            can_login: role.login,
            superuser: role.superuser,
            verifier: role.verifier.clone(),
            expired: role.valid_until_us.is_some_and(|until| i128::from(until) < now_us.cast_signed()),
        })
    }

    /// Who is connected and what runs.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// The configuration the engine was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The catalog of the newest commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load()
    }

    /// The catalog and its OID counter.
    pub(crate) fn shared_catalog(&self) -> &SharedCatalog {
        &self.catalog
    }

    /// Bytes of a table in the newest snapshot; `None` for what the store does not keep.
    pub(crate) fn table_bytes(&self, table: u32) -> Option<u64> {
        self.store.snapshot().table(table).map(|state| state.bytes())
    }

    /// Turns of writes to tables with keys.
    pub(in crate::engine) fn key_turns(&self) -> &KeyTurns {
        &self.key_turns
    }

    /// Where the sequences stand.
    pub(in crate::engine) fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// How many sequences have their state in memory.
    pub fn sequences_open(&self) -> usize {
        self.sequences.count()
    }

    /// Stores what is only in memory; for a clean stop.
    pub fn settle(&self) -> Result<(), PgError> {
        self.sequences.settle(&self.store)
    }

    /// Who listens to what.
    pub(in crate::engine) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What LOCK TABLE has taken.
    pub(in crate::engine) fn table_locks(&self) -> &Arc<TableLocks> {
        &self.table_locks
    }

    /// The query pool.
    pub(in crate::engine) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.memory
    }

    /// A state for one statement; it goes back when dropped.
    fn take_state(&self) -> PooledState {
        self.states.take()
    }

    /// A state for subqueries that run beside their statement: one partition, so they need one thread.
    pub(crate) fn subquery_state(&self) -> SessionState {
        let mut state = self.states.base().clone();
        state.config_mut().options_mut().execution.target_partitions = 1;
        state
    }

    /// When the engine was opened.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }
}

/// The objects of a new database.
fn first_objects(config: &EngineConfig) -> Vec<catalog::CatalogObject> {
    let (name, verifier) = &config.first_superuser;
    Catalog::bootstrap(name, verifier.clone())
}

/// DataFusion's parts with ours over them. Our functions replace those of the same name.
fn base_state(config: &EngineConfig, runtime: Arc<RuntimeEnv>) -> datafusion::common::Result<SessionState> {
    let mut builder =
        SessionStateBuilder::new_with_default_features().with_config(session_config(config)).with_runtime_env(runtime);
    let defaults = std::mem::take(builder.expr_planners()).unwrap_or_default();
    let planners = table_functions::expr_planners().into_iter().chain(defaults).collect();
    let analyzer = datafusion::optimizer::Analyzer::new();
    let mut state = builder
        .with_expr_planners(planners)
        .with_relation_planners(table_functions::relation_planners())
        .with_query_planner(pg::query_planner())
        .with_analyzer_rules(pg::analyzer_rules(analyzer.rules))
        .with_optimizer_rules(logical_rules(config.optimizer))
        .with_physical_optimizer_rules(physical_rules())
        .build();
    pg::register_functions(&mut state)?;
    system::register_functions(&mut state)?;
    tributary_udfs::register_all(&mut state)?;
    Ok(state)
}

/// Drops the temporary objects of sessions that a crash has ended.
fn drop_left_over(store: &Store) -> Result<(), PgError> {
    let objects = catalog::stored::load(&store.snapshot())?;
    let schemas: Vec<u32> = objects
        .iter()
        .filter_map(|object| match object {
            CatalogObject::Schema(schema) if schema.name.starts_with(TEMPORARY_PREFIX) => Some(schema.oid),
            _ => None,
        })
        .collect();
    let within = |object: &&CatalogObject| match object {
        CatalogObject::Schema(schema) => schemas.contains(&schema.oid),
        CatalogObject::Table(table) => schemas.contains(&table.schema),
        CatalogObject::View(view) => schemas.contains(&view.schema),
        CatalogObject::Sequence(sequence) => schemas.contains(&sequence.schema),
        CatalogObject::Role(_) => false,
    };
    let mut txn = store.begin(tributary_store::Isolation::ReadCommitted);
    for object in objects.iter().filter(within) {
        txn.drop_object(object.oid());
    }
    if !txn.has_writes() {
        return Ok(());
    }
    store.commit(txn).wait().map(drop).map_err(store_error::store_error)
}

/// The rules without which some plans cannot run: they turn subqueries into joins.
fn needed_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    const NEEDED: [&str; 7] = [
        "rewrite_set_comparison",
        // LIMIT must be a plain number, and some functions exist in other words only.
        "simplify_expressions",
        "replace_distinct_aggregate",
        "decorrelate_predicate_subquery",
        "scalar_subquery_to_join",
        "decorrelate_lateral_join",
        // NOT IN knows NULL only in a join with a key.
        "extract_equijoin_predicate",
    ];
    Optimizer::new().rules.into_iter().filter(|rule| NEEDED.contains(&rule.name())).collect()
}

/// What a new data directory begins with.
fn write_first_objects(store: &Store, config: &EngineConfig) -> Result<(), PgError> {
    let mut txn = store.begin(tributary_store::Isolation::ReadCommitted);
    for object in first_objects(config) {
        catalog::stored::write(&mut txn, &object)?;
    }
    store.commit(txn).wait().map(drop).map_err(store_error::store_error)
}

/// DataFusion's rules, or the needed ones of them; each stops with its statement.
fn logical_rules(optimizer: bool) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = if optimizer { Optimizer::new().rules } else { needed_rules() };
    let safe: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(filters::SafePushDown::default());
    rules
        .into_iter()
        .map(|rule| if rule.name() == safe.name() { Arc::clone(&safe) } else { rule })
        .map(|rule| Arc::new(give_way::StoppableRule(rule)) as Arc<dyn OptimizerRule + Send + Sync>)
        .collect()
}

/// DataFusion's rules between ours: what they enforce must find scans in the mode they will run in, and joins are made to
/// give way in the plan as it will run.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let first: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(scan::ordered_scan::OrderedScan), Arc::new(sorted_groups::SortedGroups)];
    let last: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(give_way::GiveWay);
    let theirs = PhysicalOptimizer::new().rules.into_iter().map(|rule| match rule.name() {
        "FilterPushdown" | "FilterPushdown(Post)" => {
            Arc::new(filters::NamedOnce(rule)) as Arc<dyn PhysicalOptimizerRule + Send + Sync>
        }
        _ => rule,
    });
    first.into_iter().chain(theirs).chain([last]).collect()
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new().with_information_schema(false).with_batch_size(8192);
    if config.target_partitions > 0 {
        session = session.with_target_partitions(config.target_partitions);
    }
    let sorters = 16 * session.target_partitions().max(1);
    let options = session.options_mut();
    // What a sort sets aside for its merge: ten megabytes each would be all of a small pool.
    options.execution.sort_spill_reservation_bytes = (config.query_memory_bytes / sorters).clamp(256 << 10, 10 << 20);
    options.catalog.create_default_catalog_and_schema = false;
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.sql_parser.default_null_ordering = "nulls_max".to_owned();
    // Reports end in a sort; without this the planner would drop it as that of a subquery.
    options.sql_parser.enable_subquery_sort_elimination = false;
    // Metadata of a union's columns depends on which input is asked; types do not, and those are checked where rows leave.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Rows of one person are in one range: grouping by person and more needs no repartition either.
    options.optimizer.subset_repartition_threshold = 1;
    options.execution.time_zone = Some("UTC".to_owned());
    // Branches of a UNION come from different columns, whose metadata this check would compare.
    options.execution.skip_physical_aggregate_schema_check = true;
    session
}
