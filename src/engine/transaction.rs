//! The transaction a session is in: blocks, savepoints, failure, modes.
//!
//! Statements outside a block own an implicit transaction that ends with the message (or with Sync). BEGIN turns it into
//! a block. After an error a block is failed: everything but its end and ROLLBACK TO is 25P02.

use std::time::SystemTime;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_store::Txn;

use super::catalog::shared::CatalogChanges;
use super::row_locks::LockedRows;
use super::settings::SettingsMark;
use super::table::TablesRead;
use super::table_locks::TableLock;

/// The letter of ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`
    Idle,
    /// `T`
    InBlock,
    /// `E`
    Failed,
}

impl TransactionStatus {
    /// The protocol's byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InBlock => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Isolation levels as asked for; SHOW gives them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Same as read committed.
    ReadUncommitted,
    /// A new snapshot per statement.
    ReadCommitted,
    /// One snapshot.
    RepeatableRead,
    /// One snapshot, and what was read must be unchanged at commit.
    Serializable,
}

impl Isolation {
    /// PostgreSQL's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }

    /// From the word of a setting.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ReadUncommitted, Self::ReadCommitted, Self::RepeatableRead, Self::Serializable]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

/// A savepoint.
#[derive(Debug)]
pub(super) struct Savepoint {
    pub name: String,
    pub settings: SettingsMark,
    /// LISTEN and NOTIFY so far.
    pub messages: usize,
    pub catalog: Option<CatalogChanges>,
    /// Locks of tables so far.
    pub table_locks: usize,
    /// Mark in the store's transaction, `None` if that had not begun.
    pub store: Option<tributary_store::Mark>,
}

/// The transaction in progress.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Opened by BEGIN, or turned into a block by it.
    pub block: bool,
    pub failed: bool,
    pub isolation: Isolation,
    pub read_only: bool,
    /// A query ran: SET TRANSACTION is refused from now on.
    pub queried: bool,
    pub started_at: SystemTime,
    pub settings: SettingsMark,
    pub savepoints: Vec<Savepoint>,
    /// What DDL did so far.
    pub catalog: Option<CatalogChanges>,
    /// The store's side, begun with the first statement that reads or writes.
    pub store: Option<Txn>,
    /// What it has read.
    pub read: TablesRead,
    /// Rows it has locked since the store was last told.
    pub locked: LockedRows,
    /// What LOCK TABLE took, in order.
    pub table_locks: Vec<TableLock>,
}

impl Transaction {
    pub(super) fn new(block: bool, isolation: Isolation, read_only: bool, settings: SettingsMark) -> Self {
        Self {
            block,
            failed: false,
            isolation,
            read_only,
            queried: false,
            started_at: SystemTime::now(),
            settings,
            savepoints: Vec::new(),
            catalog: None,
            store: None,
            read: TablesRead::default(),
            locked: LockedRows::default(),
            table_locks: Vec::new(),
        }
    }

    /// The store's transaction, begun at this transaction's level if it has not begun.
    pub(super) fn store(&mut self, store: &tributary_store::Store) -> &mut Txn {
        let isolation = match self.isolation {
            Isolation::ReadUncommitted | Isolation::ReadCommitted => tributary_store::Isolation::ReadCommitted,
            Isolation::RepeatableRead => tributary_store::Isolation::RepeatableRead,
            Isolation::Serializable => tributary_store::Isolation::Serializable,
        };
        self.store.get_or_insert_with(|| store.begin(isolation))
    }

    /// Tells the store of the rows locked so far.
    pub(super) fn tell_locked(&mut self) {
        match &mut self.store {
            Some(txn) => self.locked.tell(txn),
            None => self.locked.forget(),
        }
    }

    pub(super) fn status(&self) -> TransactionStatus {
        match (self.block, self.failed) {
            (false, _) => TransactionStatus::Idle,
            (true, false) => TransactionStatus::InBlock,
            (true, true) => TransactionStatus::Failed,
        }
    }

    /// Index of the newest savepoint of a name; 3B001 if there is none.
    pub(super) fn savepoint(&self, name: &str) -> Result<usize, PgError> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(|| {
            PgError::new(sqlstate::S_E_INVALID_SPECIFICATION, format!("savepoint \"{name}\" does not exist"))
        })
    }
}

/// 25P02.
pub(super) fn in_failed_block() -> PgError {
    PgError::new(
        sqlstate::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// 25P01 for what needs a block.
pub(super) fn needs_block(what: &str) -> PgError {
    PgError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks"))
}
