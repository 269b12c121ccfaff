//! One connection's state, and all that wire, console and library know of the engine.
//!
//! A session owns its settings, transaction, prepared statements and portals; nothing of it is shared. One statement
//! runs at a time, under one token ([`Session::begin_statement`]) that cancel, timeout and the client's death fire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use arrow::array::{ArrayRef, RecordBatch};
use futures::FutureExt;
use tributary_pg::error::{PgError, Severity};
use tributary_pg::reg_names::RegNamesHandle;
use tributary_pg::{TextStyle, sqlstate};
use tributary_store::Txn;

use super::activity::{BackendGuard, BackendState, StatementToken};
use super::catalog::ddl::{DdlDone, RowWork};
use super::catalog::{Catalog, SchemaObject, TEMPORARY_PREFIX, lookup_path, rights, stored};
use super::named::{NamedObjects, PreparedEntry};
use super::notify::{Mailbox, Notification};
use super::planner::ReadView;
use super::prepared::{Dependencies, Outcome, Portal, PortalState, Prepared};
use super::row_locks::Locking;
use super::sequences::SessionSequences;
use super::session_vars::SessionVars;
use super::settings::{REPORTED, Settings};
use super::state_pool::PooledState;
use super::statement;
use super::store_error::store_error;
use super::system::SessionNames;
use super::table::ReadRows;
use super::transaction::{Isolation, Transaction, TransactionStatus, in_failed_block};
use super::{Engine, Login};
use crate::dialect::{self, Statement};

/// Prepared statements of one session. Reason: a client that forgets to close them must not grow the server.
pub const PREPARED_MAX: usize = 10_000;

/// Portals of one session.
pub const PORTALS_MAX: usize = 1_000;

/// How the work that a message owns ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implicit {
    /// Make it durable.
    Commit,
    /// Undo it.
    Rollback,
}

/// What the client must be told before the next CommandComplete or ReadyForQuery.
#[derive(Debug, Default)]
pub struct Drained {
    /// Notices, filtered by client_min_messages.
    pub notices: Vec<PgError>,
    /// Reported settings that changed.
    pub settings: Vec<(&'static str, String)>,
}

/// One session.
pub struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) backend: BackendGuard,
    pub(super) settings: Arc<Mutex<Settings>>,
    pub(super) transaction: Option<Transaction>,
    pub(super) prepared: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) named: Arc<Mutex<NamedObjects>>,
    pub(super) mailbox: Arc<Mutex<Mailbox>>,
    sequences: Arc<Mutex<SessionSequences>>,
    /// What the last DDL statement left to be done with rows.
    row_work: Vec<RowWork>,
    notices: Vec<PgError>,
    token: StatementToken,
    /// The statement has not read yet: under READ COMMITTED it takes the newest snapshot.
    fresh_snapshot: bool,
    /// The statement is all its message holds and no block is open: a write commits within it, and may be rerun.
    alone: bool,
}

impl Session {
    pub(super) fn open(engine: Arc<Engine>, login: Login) -> Result<Self, PgError> {
        let database = engine.config().database.clone();
        if login.database != database && login.database != "postgres" {
            return Err(PgError::new(
                sqlstate::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", login.database),
            ));
        }
        let config = engine.config().settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let client = login.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = role_settings(&engine.catalog(), &login.user);
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut settings = Settings::open(config.chain(own).chain(client))?;
        settings.set_identity("session_authorization", &login.user, false);
        let role = settings.get("role").filter(|role| role != "none");
        if let Some(role) = &role {
            rights::must_be_member(&engine.catalog(), &login.user, role)
                .map_err(|error| error.severity(Severity::Fatal))?;
        }
        let superuser = engine.login_role(role.as_ref().unwrap_or(&login.user)).is_some_and(|role| role.superuser);
        settings.set_internal("is_superuser", if superuser { "on" } else { "off" });
        settings.commit();
        settings.drain_changed();
        let backend = engine.activity().register(&login.user, &database, login.peer);
        let application_name = settings.get("application_name").unwrap_or_default();
        backend.update(|status| status.application_name = application_name);
        Ok(Self {
            engine,
            backend,
            settings: Arc::new(Mutex::new(settings)),
            transaction: None,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            named: Arc::default(),
            mailbox: Arc::default(),
            sequences: Arc::default(),
            row_work: Vec::new(),
            notices: Vec::new(),
            token: StatementToken::default(),
            fresh_snapshot: true,
            alone: false,
        })
    }

    /// Cuts a text into statements. Empty text gives none.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>, PgError> {
        dialect::parse(text)
    }

    /// Begins a statement: from now on cancel and statement_timeout can stop it.
    pub fn begin_statement(&mut self, text: &str) {
        self.begin_statement_of(text, Instant::now());
    }

    /// The same for a statement that could have begun earlier: its time counts from then.
    pub fn begin_statement_of(&mut self, text: &str, begun_at: Instant) {
        let timeout = self.settings().duration("statement_timeout");
        let timeout = timeout.map(|timeout| timeout.saturating_sub(begun_at.elapsed()));
        self.fresh_snapshot = true;
        self.alone = false;
        self.token = self.backend.begin_statement(text, timeout);
    }

    /// Ends the statement: what is canceled later is not it.
    pub fn end_statement(&mut self) {
        let state = match self.transaction_status() {
            TransactionStatus::Idle => BackendState::Idle,
            TransactionStatus::InBlock => BackendState::IdleInTransaction,
            TransactionStatus::Failed => BackendState::IdleInFailedTransaction,
        };
        self.backend.end_statement(state);
    }

    /// Says that nothing follows the statement just begun before its implicit transaction ends: unless a block is open or
    /// something was written before, a write commits before it is answered, and is rerun when another commit was faster.
    pub fn set_alone(&mut self) {
        let store = self.transaction.as_ref().and_then(|transaction| transaction.store.as_ref());
        self.alone = !store.is_some_and(Txn::has_writes);
    }

    /// Whether a write commits within its own statement.
    pub(super) fn commits_alone(&self) -> bool {
        self.alone && self.transaction.as_ref().is_none_or(|transaction| !transaction.block)
    }

    /// Forgets what the transaction has written, for another try on a fresh snapshot.
    pub(super) fn restart_store_transaction(&mut self) {
        self.fresh_snapshot = true;
        if let Some(transaction) = self.transaction.as_mut() {
            transaction.store = None;
        }
    }

    /// Plans a statement as far as it needs no parameter values. `declared`: type OIDs the client gave, 0 for unknown.
    pub async fn analyze(&mut self, statement: Statement, declared: &[u32]) -> Result<Arc<Prepared>, PgError> {
        self.check_not_failed(&statement)?;
        let token = self.token.clone();
        token.run(async { statement::analyze(self, statement, declared).map(Arc::new) }).await
    }

    /// Gives a prepared statement its parameters: one array of one value each, of the types it asks for.
    pub async fn bind(&mut self, prepared: &Arc<Prepared>, parameters: Vec<ArrayRef>) -> Result<Portal, PgError> {
        self.check_not_failed(&prepared.statement)?;
        let prepared = if prepared.dependencies == self.dependencies() {
            Arc::clone(prepared)
        } else {
            self.analyze_again(prepared).await?
        };
        let mut portal = Portal::new(prepared, parameters);
        statement::bind(self, &mut portal)?;
        Ok(portal)
    }

    async fn analyze_again(&mut self, old: &Arc<Prepared>) -> Result<Arc<Prepared>, PgError> {
        let new = self.analyze(old.statement.clone(), &old.declared).await?;
        let shape = |prepared: &Prepared| {
            prepared
                .columns
                .as_ref()
                .map(|columns| columns.iter().map(|c| (c.name.clone(), c.type_oid, c.typmod)).collect::<Vec<_>>())
        };
        if shape(&new) != shape(old) {
            return Err(PgError::unsupported("cached plan must not change result type"));
        }
        Ok(new)
    }

    /// Starts a portal. Rows are read with [`Session::fetch`].
    pub async fn run(&mut self, portal: &mut Portal) -> Result<Outcome, PgError> {
        self.check_not_failed(&portal.prepared.statement)?;
        let outcome = statement::run(self, portal).await?;
        match outcome {
            Outcome::Rows(word) => {
                portal.tag_word = word;
                portal.state = PortalState::Suspended;
            }
            Outcome::Empty => {}
            _ => portal.state = PortalState::Spent,
        }
        Ok(outcome)
    }

    /// The next rows of a running portal, at most `rows_max`; `None` at its end.
    pub async fn fetch(&mut self, portal: &mut Portal, rows_max: usize) -> Result<Option<RecordBatch>, PgError> {
        let token = self.token.clone();
        let rows = token.run(portal.next_rows(rows_max)).await?;
        if rows.is_none() {
            portal.state = PortalState::Done;
        }
        Ok(rows)
    }

    /// Ends the implicit transaction that a message or Sync owns. Inside a block nothing happens.
    pub async fn finish(&mut self, how: Implicit) -> Result<(), PgError> {
        match (&self.transaction, how) {
            (Some(transaction), _) if transaction.block => Ok(()),
            (None, _) => Ok(()),
            (Some(_), Implicit::Commit) => statement::transactions::commit(self).await,
            (Some(_), Implicit::Rollback) => {
                statement::transactions::roll_back(self);
                Ok(())
            }
        }
    }

    /// After an error: a block is failed from now on, an implicit transaction is rolled back.
    pub fn fail(&mut self) {
        match self.transaction.as_mut() {
            Some(transaction) if transaction.block => transaction.failed = true,
            Some(_) => statement::transactions::roll_back(self),
            None => {}
        }
    }

    /// Notices and setting changes the client has not been told.
    pub fn drain(&mut self) -> Drained {
        // set_config may have changed the role.
        self.report_superuser();
        let settings = self.settings().drain_changed();
        Drained { notices: std::mem::take(&mut self.notices), settings }
    }

    /// Notices alone: what precedes a CommandComplete. Changed settings wait for ReadyForQuery.
    pub fn drain_notices(&mut self) -> Vec<PgError> {
        std::mem::take(&mut self.notices)
    }

    /// Messages of other sessions and own ones, to be told before ReadyForQuery or while idle. Inside a block they wait.
    /// An error ends the session: it has not read fast enough.
    pub fn notifications(&mut self) -> Result<Vec<Arc<Notification>>, PgError> {
        if self.transaction_status() != TransactionStatus::Idle {
            return Ok(Vec::new());
        }
        self.mailbox().listener().take()
    }

    /// A future that ends when there are notifications to tell.
    pub fn notified(&self) -> impl Future<Output = ()> + use<> {
        let listener = self.mailbox().listener();
        async move { listener.filled().await }
    }

    /// What the session wants to hear and has to say.
    pub(super) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settings told in the greeting, in PostgreSQL's order.
    pub fn reported(&self) -> Vec<(&'static str, String)> {
        let settings = self.settings();
        REPORTED.iter().map(|name| (*name, settings.get(name).unwrap_or_default())).collect()
    }

    /// The letter of ReadyForQuery.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.transaction.as_ref().map_or(TransactionStatus::Idle, Transaction::status)
    }

    /// The session's entry in the list of sessions: pid, secret, tokens.
    pub fn backend(&self) -> &BackendGuard {
        &self.backend
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The token of the statement that runs.
    pub fn token(&self) -> &StatementToken {
        &self.token
    }

    /// The settings.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How values are read and written under the settings in force.
    pub fn text_style(&self) -> TextStyle {
        const NAMES: [&str; 6] = [
            "DateStyle",
            "IntervalStyle",
            "TimeZone",
            "extra_float_digits",
            "bytea_output",
            "roaringbitmap.output_format",
        ];
        // Looked up before the settings are locked: both read them.
        let path = Arc::from(self.search_path(&self.current_user()));
        let names = SessionNames { catalog: self.catalog(), path };
        let settings = self.settings();
        let mut style = TextStyle { reg_names: RegNamesHandle::new(Arc::new(names)), ..TextStyle::default() };
        for name in NAMES {
            if let Some(value) = settings.get(name)
                && let Err(error) = style.set(name, &value)
            {
                // SET has checked the value, so the two checks disagree.
                tracing::error!(%error, name, "a setting's value cannot be read");
            }
        }
        style
    }

    /// A prepared statement; 26000.
    pub fn prepared(&self, name: &str) -> Result<Arc<Prepared>, PgError> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            PgError::new(sqlstate::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Names a prepared statement; the empty name replaces, others must be new (42P05).
    pub fn store_prepared(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<(), PgError> {
        if !name.is_empty() && self.prepared.contains_key(name) {
            return Err(PgError::new(
                sqlstate::DUPLICATE_PSTATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.prepared.len() >= PREPARED_MAX {
            return Err(PgError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("a session holds at most {PREPARED_MAX} prepared statements"),
            ));
        }
        if !name.is_empty() {
            self.named().prepared.insert(name.to_owned(), PreparedEntry::new(&prepared));
        }
        self.prepared.insert(name.to_owned(), prepared);
        Ok(())
    }

    /// What the views of prepared statements and cursors show.
    pub(super) fn named(&self) -> MutexGuard<'_, NamedObjects> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every prepared statement.
    pub(super) fn close_all_prepared(&mut self) {
        self.prepared.clear();
        self.named().prepared.clear();
    }

    /// Forgets a prepared statement; unknown names are fine. Its portals live on.
    pub fn close_prepared(&mut self, name: &str) -> bool {
        self.named().prepared.remove(name);
        self.prepared.remove(name).is_some()
    }

    /// Takes a portal out to run it; 34000. Give it back with [`Session::store_portal`].
    pub fn take_portal(&mut self, name: &str) -> Result<Portal, PgError> {
        self.portals.remove(name).ok_or_else(|| unknown_portal(name))
    }

    /// A portal; 34000.
    pub fn portal(&self, name: &str) -> Result<&Portal, PgError> {
        self.portals.get(name).ok_or_else(|| unknown_portal(name))
    }

    /// Whether a portal of that name exists.
    pub fn has_portal(&self, name: &str) -> bool {
        self.portals.contains_key(name)
    }

    /// Names a portal, replacing one of that name.
    pub fn store_portal(&mut self, name: &str, portal: Portal) -> Result<(), PgError> {
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(name) {
            return Err(PgError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("a session holds at most {PORTALS_MAX} portals"),
            ));
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Drops a portal and stops its query; unknown names are fine.
    pub fn close_portal(&mut self, name: &str) -> bool {
        self.named().cursors.remove(name);
        self.portals.remove(name).is_some()
    }

    /// CLOSE ALL: all portals end.
    pub fn close_all_portals(&mut self) {
        self.portals.clear();
        self.named().cursors.clear();
    }

    /// The end of a transaction: only cursors that a committed one holds live on.
    pub fn close_transaction_portals(&mut self) {
        self.portals.retain(|_, portal| portal.held);
        let mut named = self.named();
        named.cursors.retain(|name, _| self.portals.contains_key(name));
    }

    /// Tells the client something beside the result.
    pub(super) fn notice(&mut self, notice: PgError) {
        let least = self.settings().get("client_min_messages").unwrap_or_default();
        if notice.severity == Severity::Info || rank(notice.severity.as_str()) >= rank(&least) {
            self.notices.push(notice);
        }
    }

    /// Keeps `is_superuser` true to the role in force.
    pub(super) fn report_superuser(&mut self) {
        let superuser = self.catalog().role(&self.current_user()).is_some_and(|role| role.superuser);
        let value = if superuser { "on" } else { "off" };
        let mut settings = self.settings();
        if settings.get("is_superuser").as_deref() != Some(value) {
            settings.set_internal("is_superuser", value);
        }
    }

    /// Opens an implicit transaction if none is open.
    pub(super) fn ensure_transaction(&mut self) -> &mut Transaction {
        if self.transaction.is_none() {
            statement::transactions::open(self, false);
        }
        self.transaction.as_mut().expect("opened above")
    }

    /// The catalog as this session sees it: its transaction's changes over the newest commit.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        match self.transaction.as_ref().and_then(|transaction| transaction.catalog.as_ref()) {
            Some(changes) => Arc::clone(&changes.catalog),
            None => self.engine.catalog(),
        }
    }

    /// Keeps what a DDL statement did with the transaction, and passes its notices on.
    pub(super) fn keep_ddl(&mut self, seen: Arc<Catalog>, done: DdlDone) -> Result<Outcome, PgError> {
        let txn = self.store_transaction();
        for &oid in &done.touched {
            match done.catalog.object(oid) {
                Some(object) => stored::write(txn, &object)?,
                None if seen.object(oid).is_some() => txn.drop_object(oid),
                None => {}
            }
        }
        let next_oid = self.engine.shared_catalog().next_oid();
        stored::write_next_oid(self.store_transaction(), next_oid)?;
        for notice in &done.notices {
            self.notice(notice.clone());
        }
        self.row_work.clone_from(&done.work);
        let tag = done.tag.to_owned();
        let engine = Arc::clone(&self.engine);
        let transaction = self.ensure_transaction();
        let before = transaction.catalog.take();
        transaction.catalog = Some(engine.shared_catalog().extend(before, seen, done));
        Ok(Outcome::Done(tag))
    }

    /// What the last DDL statement left to be done with rows.
    pub(super) fn take_row_work(&mut self) -> Vec<RowWork> {
        std::mem::take(&mut self.row_work)
    }

    /// ON COMMIT of temporary tables, for a transaction about to commit.
    pub(super) fn prepare_temporary(&mut self) -> Result<(), PgError> {
        let Some(schema) = self.temporary_schema().map(|schema| schema.oid) else { return Ok(()) };
        let catalog = self.catalog();
        let mine = |wanted: char| {
            let tables = catalog.tables.values();
            tables.filter(move |table| table.schema == schema && table.on_commit == Some(wanted))
        };
        let emptied: Vec<u32> = mine('d').map(|table| table.oid).collect();
        let dropped: Vec<u32> = mine('x').map(|table| table.oid).collect();
        if emptied.is_empty() && dropped.is_empty() {
            return Ok(());
        }
        let txn = self.store_transaction();
        let written: Vec<u32> = txn.tables_written().filter(|table| emptied.contains(table)).collect();
        for table in written {
            txn.truncate(table).map_err(store_error)?;
        }
        if !dropped.is_empty() {
            statement::ddl::with_ddl(self, "DROP TABLE", |ddl| ddl.drop_temporary(Some(&dropped), schema))?;
        }
        Ok(())
    }

    /// Drops all temporary objects of the session.
    pub(super) async fn drop_temporary(&mut self) -> Result<(), PgError> {
        let Some(schema) = self.temporary_schema() else { return Ok(()) };
        statement::ddl::with_ddl(self, "DISCARD TEMP", |ddl| ddl.drop_temporary(None, schema.oid))?;
        Ok(())
    }

    /// The store's side of the transaction, on the snapshot this statement reads.
    pub(super) fn store_transaction(&mut self) -> &mut Txn {
        let engine = Arc::clone(&self.engine);
        let fresh = std::mem::take(&mut self.fresh_snapshot);
        let transaction = self.ensure_transaction();
        let newest = fresh && transaction.isolation <= Isolation::ReadCommitted;
        transaction.tell_locked();
        let txn = transaction.store(engine.store());
        if newest {
            txn.refresh_snapshot();
        }
        txn
    }

    /// The view one statement reads.
    pub(super) fn read_view(&mut self) -> ReadView {
        let kept = !self.commits_alone();
        let transaction = self.ensure_transaction();
        let read = transaction.read.clone();
        let rows = kept.then(|| transaction.locked.clone());
        let locking = Locking { rows, read_only: transaction.read_only };
        let rows = ReadRows::of_transaction(self.store_transaction(), read, locking);
        let transaction_started_at = self.transaction.as_ref().map_or_else(SystemTime::now, |t| t.started_at);
        let vars = self.vars(transaction_started_at);
        ReadView { catalog: self.catalog(), rows, search_path: vars.search_path.to_vec(), vars }
    }

    /// The engine's state with this session's variables in it.
    pub(super) fn state(&self, view: &ReadView) -> PooledState {
        let mut state = self.engine.take_state();
        let extensions = &mut state.config_mut().options_mut().extensions;
        extensions.insert(view.vars.clone());
        extensions.insert(view.rows.clone());
        state.execution_props_mut().query_execution_start_time =
            Some(chrono::DateTime::from(view.vars.transaction_started_at));
        // Functions see the session through these options only.
        let options = Arc::clone(state.config_options());
        state.execution_props_mut().config_options = Some(options);
        state
    }

    pub(super) fn current_user(&self) -> String {
        let settings = self.settings();
        match settings.get("role") {
            Some(role) if role != "none" => role,
            _ => settings.get("session_authorization").unwrap_or_default(),
        }
    }

    pub(super) fn dependencies(&self) -> Dependencies {
        let settings = self.settings();
        let get = |name: &str| settings.get(name).unwrap_or_default();
        Dependencies {
            catalog_version: self.catalog().version,
            search_path: get("search_path"),
            role: format!("{}/{}", get("session_authorization"), get("role")),
            time_zone: get("TimeZone"),
        }
    }

    /// Schemas that a role of this name searches in this session.
    pub(super) fn search_path(&self, current_user: &str) -> Vec<String> {
        let mut path = lookup_path(&self.settings().get("search_path").unwrap_or_default(), current_user);
        // Searched first unless named, whether or not the schema exists yet.
        let own = format!("{TEMPORARY_PREFIX}{}", self.backend.pid);
        match path.iter().position(|name| name == "pg_temp") {
            Some(index) => path[index] = own,
            None => path.insert(0, own),
        }
        path
    }

    /// The session's schema for temporary objects, if it has one.
    pub(super) fn temporary_schema(&self) -> Option<Arc<SchemaObject>> {
        self.catalog().schema(&format!("{TEMPORARY_PREFIX}{}", self.backend.pid)).cloned()
    }

    /// DISCARD SEQUENCES.
    pub(super) fn forget_sequences(&mut self) {
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    /// At the end of a transaction: lets go of the sequences it moved that are not committed.
    pub(super) fn drop_moved_sequences(&self) {
        let moved = self.sequences.lock().unwrap_or_else(PoisonError::into_inner).take_moved();
        self.engine.sequences().drop_unknown(&self.engine.catalog(), moved);
    }

    fn vars(&self, transaction_started_at: SystemTime) -> SessionVars {
        // Read before the struct is built: a guard held there would meet the lock of `current_user`.
        let session_user = self.settings().get("session_authorization").unwrap_or_default();
        let current_user = self.current_user();
        SessionVars {
            engine: Some(Arc::clone(&self.engine)),
            backend: Some(Arc::clone(&self.backend)),
            session_user,
            search_path: Arc::from(self.search_path(&current_user)),
            catalog: self.catalog(),
            current_user,
            transaction_started_at,
            statement_started_at: SystemTime::now(),
            settings: Arc::clone(&self.settings),
            named: Arc::clone(&self.named),
            mailbox: Arc::clone(&self.mailbox),
            sequences: Arc::clone(&self.sequences),
            abandoned: Arc::default(),
        }
    }

    fn check_not_failed(&self, statement: &Statement) -> Result<(), PgError> {
        if self.transaction_status() == TransactionStatus::Failed && !statement::ends_failed_block(&statement.ast) {
            return Err(in_failed_block());
        }
        Ok(())
    }

    /// Isolation level for the next transaction.
    pub(super) fn default_isolation(&self) -> Isolation {
        let level = self.settings().get("default_transaction_isolation").unwrap_or_default();
        Isolation::parse(&level).unwrap_or(Isolation::ReadCommitted)
    }
}

/// Temporary objects end with their session, and nobody listens any more.
impl Drop for Session {
    fn drop(&mut self) {
        self.mailbox().leave(self.engine.channels());
        statement::transactions::roll_back(self);
        if self.temporary_schema().is_none() {
            return;
        }
        statement::transactions::open(self, false);
        let dropped = async {
            self.drop_temporary().await?;
            statement::transactions::commit(self).await
        };
        // A commit of DDL is waited for where it stands, so nothing is pending here.
        match dropped.now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "temporary objects are left to the next start"),
            None => tracing::warn!("temporary objects are left to the next start"),
        }
    }
}

/// Place of a severity in the order of client_min_messages, where LOG stands below NOTICE.
fn rank(severity: &str) -> usize {
    const ORDER: [&str; 5] = ["debug", "log", "notice", "warning", "error"];
    let severity = severity.to_ascii_lowercase();
    ORDER.iter().position(|known| severity.starts_with(known)).unwrap_or(2)
}

fn unknown_portal(name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

/// What ALTER ROLE .. SET says of the role. As in PostgreSQL one that is wrong by now keeps nobody out.
fn role_settings(catalog: &Catalog, user: &str) -> Vec<(String, String)> {
    let Some(role) = catalog.role(user) else { return Vec::new() };
    let pairs = role.settings.iter().filter_map(|entry| entry.split_once('='));
    pairs
        .filter(|(name, value)| {
            let allowed = *name != "role" || *value == "none" || rights::must_be_member(catalog, user, value).is_ok();
            let sound = Settings::open([(*name, *value)]).is_ok();
            if !(allowed && sound) {
                tracing::warn!(setting = name, "a setting of a role is not valid and is left out");
            }
            allowed && sound
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
