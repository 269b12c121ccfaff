//! Five ordered aggregates a person: a table kept in person order against one that is not.
//!
//! The ordered table answers under a pool of 64 MiB that may not spill, which is how its peak memory is shown; the other
//! one gets what it wants. Answers are compared, and the ordered plan must hold no sort and no repartition.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use tokio::runtime::Runtime;
use tributary::engine::{Engine, EngineConfig, Login, Session};
use tributary_store::{Isolation, RealDisk, Store, StoreConfig, SystemClock};

use crate::cpu::cheapest;
use crate::events;
use crate::scan9::{assert_close, rows};

const EVENT_COUNT: usize = 10_000_000;
const PERSON_COUNT: i64 = 500_000;
const TIMES: usize = 3;

/// Pool of the ordered table's session.
const BOUND: usize = 64 << 20;

/// The sums look at every value, so that none can be left out.
const QUERY: &str = "SELECT count(*), sum(n), sum(array_length(e, 1)), sum(length(c)), sum(a[1]), max(t[1]), sum(length(p)) FROM \
     (SELECT user_id, count(*) AS n, array_agg(event ORDER BY ts) AS e, string_agg(channel, '>' ORDER BY ts) AS c, \
     array_agg(amount ORDER BY ts) AS a, array_agg(ts ORDER BY ts) AS t, string_agg(campaign, ',' ORDER BY ts) AS p \
     FROM events GROUP BY user_id) AS persons";

/// Runs the comparison and prints it.
pub fn run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime"),
    );
    let (mut ordered, _keep) =
        session(directory.path(), "ordered", &runtime, " WITH (order_by = 'user_id, ts')", BOUND);
    let (mut plain, _keep) = session(directory.path(), "plain", &runtime, "", 4 << 30);
    let plan = runtime.block_on(rows(&mut ordered, &format!("EXPLAIN {QUERY}"))).join("\n");
    assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{plan}");
    println!("\nordered: {EVENT_COUNT} events of {PERSON_COUNT} persons, five ordered aggregates a person");
    let expected = runtime.block_on(rows(&mut ordered, QUERY));
    assert_close(&runtime.block_on(rows(&mut plain, QUERY)), &expected, "lists of persons", "the unordered table");
    let report = |name: &str, session: &mut Session| {
        let mut wall = Duration::MAX;
        let cost = cheapest(TIMES, || {
            let began = Instant::now();
            runtime.block_on(rows(session, QUERY));
            wall = wall.min(began.elapsed());
        });
        println!(
            "{name:28}{:10.0} ms wall{:10.0} ms of processor",
            wall.as_secs_f64() * 1e3,
            cost.cpu.as_secs_f64() * 1e3
        );
    };
    report("ordered, 64 MiB, no spill", &mut ordered);
    report("unordered, 4 GiB", &mut plain);
}

fn session(directory: &Path, name: &str, runtime: &Runtime, with: &str, memory: usize) -> (Session, Store) {
    let config = StoreConfig { data_dir: directory.join(name), ..StoreConfig::default() };
    let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("the store opens");
    let spill_bytes = if memory == BOUND { 0 } else { 50 << 30 };
    let engine =
        EngineConfig { query_memory_bytes: memory, spill_bytes, target_partitions: 2, ..EngineConfig::default() };
    let engine = Engine::open(engine, store.clone()).expect("the engine opens");
    let login = Login { user: "postgres".to_owned(), database: "tributary".to_owned(), ..Login::default() };
    let mut session = engine.connect(login).expect("a session");
    runtime.block_on(rows(&mut session, &format!("{}{with}", events::TABLE)));
    let table = store.snapshot().tables().map(|(oid, _)| oid).max().expect("the table is there");
    // Ten loads, so that runs overlap in every person.
    for (load, batches) in events::batches(EVENT_COUNT).chunks(EVENT_COUNT / 10 / 65_536 + 1).enumerate() {
        let mut txn = store.begin(Isolation::ReadCommitted);
        for (number, batch) in batches.iter().enumerate() {
            txn.append(table, of_persons(batch, (load * 1_000 + number) as i64)).expect("rows fit the table");
        }
        runtime.block_on(store.commit(txn)).expect("commits");
    }
    store.checkpoint().expect("a checkpoint");
    (session, store)
}

/// The events with their users replaced by evenly frequent ones.
fn of_persons(batch: &RecordBatch, seed: i64) -> RecordBatch {
    let users = (0..batch.num_rows() as i64).map(|row| {
        let mixed = (seed * 65_536 + row).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        mixed.cast_signed() % PERSON_COUNT
    });
    let mut columns = batch.columns().to_vec();
    columns[1] = Arc::new(Int64Array::from_iter_values(users)) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).expect("columns fit the schema")
}
