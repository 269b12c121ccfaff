//! What queries may use: one memory pool and one spill directory for all sessions.
//!
//! A query that meets the pool's end spills where it can and else fails with 53200; a full spill directory is 53400. The
//! pool is fair: a sort cannot take what another query's hash table needs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

/// Consumers named in the DETAIL of 53200.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// The runtime all sessions share.
pub(super) fn runtime(memory_bytes: usize, spill_bytes: u64, data_dir: &Path) -> Result<Arc<RuntimeEnv>> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), CONSUMERS_NAMED);
    let spill = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![data_dir.join("tmp")]))
        .with_max_temp_directory_size(spill_bytes);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(spill).build_arc()
}
