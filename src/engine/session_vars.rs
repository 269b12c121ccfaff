//! What scalar functions may know of the session they run in.
//!
//! `current_user`, `set_config`, `pg_backend_pid` and their like find it as an extension of the statement's options,
//! never through a global: a plan of one session cannot see another's.

use std::any::Any;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tributary_pg::reg_names::RegNamesHandle;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};

use super::Engine;
use super::activity::Backend;
use super::catalog::{Catalog, TEMPORARY_PREFIX};
use super::named::NamedObjects;
use super::notify::Mailbox;
use super::sequences::SessionSequences;
use super::settings::Settings;
use super::system::SessionNames;

/// The session as functions see it, fixed for one statement but for [`SessionVars::settings`].
#[derive(Clone)]
pub struct SessionVars {
    /// What all sessions share.
    pub engine: Option<Arc<Engine>>,
    /// The session's entry in the list of sessions.
    pub backend: Option<Arc<Backend>>,
    /// Role that logged in.
    pub session_user: String,
    /// Role in force.
    pub current_user: String,
    /// Start of the transaction: `now()`.
    pub transaction_started_at: SystemTime,
    /// Start of the statement.
    pub statement_started_at: SystemTime,
    /// The catalog the statement sees.
    pub catalog: Arc<Catalog>,
    /// Schemas searched, in order.
    pub search_path: Arc<[String]>,
    /// The settings; `set_config` changes them.
    pub settings: Arc<Mutex<Settings>>,
    /// currval and lastval.
    pub sequences: Arc<Mutex<SessionSequences>>,
    /// Prepared statements and cursors as the views show them.
    pub named: Arc<Mutex<NamedObjects>>,
    /// LISTEN and NOTIFY of the session.
    pub(super) mailbox: Arc<Mutex<Mailbox>>,
    /// Set when nobody waits any longer for the rows of the plan made under these.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl Default for SessionVars {
    fn default() -> Self {
        Self {
            engine: None,
            backend: None,
            session_user: String::new(),
            current_user: String::new(),
            transaction_started_at: SystemTime::UNIX_EPOCH,
            statement_started_at: SystemTime::UNIX_EPOCH,
            catalog: Arc::default(),
            search_path: Arc::from([]),
            settings: Arc::default(),
            sequences: Arc::default(),
            named: Arc::default(),
            mailbox: Arc::default(),
            abandoned: Arc::default(),
        }
    }
}

impl SessionVars {
    /// The session of the statement these options belong to.
    pub fn of(options: &ConfigOptions) -> Option<&Self> {
        options.extensions.get::<Self>()
    }

    /// Names behind reg* values, for printers and parsers.
    pub(crate) fn reg_names(&self) -> RegNamesHandle {
        let names = SessionNames { catalog: Arc::clone(&self.catalog), path: Arc::clone(&self.search_path) };
        RegNamesHandle::new(Arc::new(names))
    }

    /// Bytes a table takes, in parts and in memory; 0 for what the store does not keep.
    pub fn table_bytes(&self, table: u32) -> i64 {
        let bytes = self.engine.as_ref().and_then(|engine| engine.table_bytes(table)).unwrap_or(0);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    /// Name of the session's schema for temporary objects.
    pub(crate) fn temporary_schema(&self) -> String {
        format!("{TEMPORARY_PREFIX}{}", self.backend.as_ref().map_or(0, |backend| backend.pid))
    }

    /// pg_notify.
    pub(super) fn notify(&self, channel: &str, payload: &str) -> tributary_pg::PgResult<()> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).notify(channel, payload)
    }

    /// Channels the session listens to.
    pub(super) fn channels(&self) -> Vec<String> {
        let mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.channels().map(str::to_owned).collect()
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).get(name)
    }
}

impl std::fmt::Debug for SessionVars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionVars").field("current_user", &self.current_user).finish_non_exhaustive()
    }
}

impl ConfigExtension for SessionVars {
    const PREFIX: &'static str = "tributary_session";
}

impl ExtensionOptions for SessionVars {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> datafusion::common::Result<()> {
        datafusion::common::config_err!("session variable {key} cannot be set this way")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
