//! Tributary's durable store.
//!
//! One process owns one data directory. **The write-ahead log is the durability point; the meta store can always be
//! rebuilt; columns live in immutable, memory-mapped Arrow files.**
//!
//! ```text
//! Txn -> prepare (encode, stage) -> commit thread: validate, frame, one write + one fdatasync -> publish -> ticket
//!                                        |-> delta (memory) --flush--> part (.arrow + .idx)
//!                                        |-> meta thread -> sled --checkpoint--> dump -> the log is cut
//! ```
//!
//! Promises: what a ticket acknowledged survives a power cut, whole; nothing unacknowledged appears by half; damage is
//! an error that names file and offset, never a wrong row; readers take a [`Snapshot`] and never wait.
//! Knows Arrow and sled. Does not know SQL: an [`Object`] is an oid, a kind and an opaque body.

mod arrange;
mod backup;
mod blob;
mod bucket;
mod check;
mod checkpoint;
mod chunk_map;
mod ckpt_file;
mod clock;
mod codec;
mod commit;
mod compact;
mod config;
mod config_keys;
mod cut;
mod delta;
mod dictionary;
mod disk;
mod dump;
mod error;
mod file_bytes;
mod flush;
mod format;
mod frame;
#[cfg(any(test, feature = "sim"))]
pub mod fuzz;
mod history;
mod hook;
mod increment;
mod index_file;
mod ipc;
mod ipc_check;
mod key;
mod key_check;
mod key_probe;
mod key_section;
mod live;
mod manifest;
mod map;
mod meta;
mod object;
mod op;
mod part;
mod prepare;
mod pressure;
mod recover;
mod relocation;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod sketch;
mod sled_meta;
mod snapshot;
mod source;
mod split;
mod state;
mod store;
mod ticket;
mod txn;
mod validate;
mod wal;
mod zone;

#[cfg(test)]
mod tests;

pub use backup::{BackupDone, restore};
pub use bucket::{BucketUnit, Partition};
pub use check::{Finding, check};
pub use clock::{Clock, SystemClock};
#[cfg(any(test, feature = "sim"))]
pub use config::Sabotage;
pub use config::{COLUMNS_MAX, INLINE_BYTES_MAX, KEY_BYTES_MAX, MemoryBudget, ScanIo, StoreConfig, VALUE_BYTES_MAX};
pub use config_keys::{STORE_KEYS, StoreKey};
pub use disk::{Disk, DiskFile, DiskLock, RealDisk};
pub use error::{KeyClash, Result, StoreError};
pub use history::{Rewrite, RewriteKind};
pub use hook::{CommitHook, HookWrites, TableChange};
pub use key::{KeyDef, KeyHash, KeyRows};
pub use key_probe::KeySearch;
pub use live::live_mask;
pub use meta::{MetaOpener, MetaPut, MetaStore, Visit};
pub use object::{Column, Object, TableLayout};
pub use part::{BATCH_ROWS, Encoded};
pub use sketch::Sketch;
pub use snapshot::{Snapshot, Space, TableState, Value};
pub use source::{Chunk, PRIVATE_SOURCES_FROM, PartFacts, Source};
pub use state::FIRST_OID;
pub use store::{Status, Store, rebuild_meta};
pub use ticket::Ticket;
pub use txn::{Expect, Isolation, Mark, Overlay, Txn};
pub use zone::{BOUND_BYTES_MAX, ColumnSummary, GRANULE_ROWS, Zones};

/// Commit sequence number: +1 per transaction, 0 before the first.
pub type Seq = u64;
/// Object identifier.
pub type Oid = u32;
/// Stable number of a column in its table; never reused.
pub type ColumnId = u32;
