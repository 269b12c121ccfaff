//! Nine queries over two million events: our store against Parquet and Arrow files under plain DataFusion.
//!
//! One partition, processor milliseconds, the cheapest of five runs. Answers are compared. Parquet is read the best way
//! DataFusion knows: zstd or lz4, filter pushdown, page index.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::listing::ListingOptions;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use tokio::runtime::Runtime;
use tributary::engine::{Engine, EngineConfig, Implicit, Login, Outcome, Session};
use tributary_store::{Isolation, RealDisk, Store, StoreConfig, SystemClock};

use crate::cpu::{Cost, cheapest};
use crate::events;

const EVENT_COUNT: usize = 2_000_000;

/// Runs of each query.
const TIMES: usize = 5;

const QUERIES: [(&str, &str); 9] = [
    ("sum(amount), count(*)", "SELECT sum(amount), count(*) FROM events"),
    ("sum where user_id = 7", "SELECT sum(amount), count(*) FROM events WHERE user_id = 7"),
    (
        "group by channel, event",
        "SELECT channel, event, count(*), sum(amount) FROM events GROUP BY channel, event ORDER BY 1, 2",
    ),
    ("count(distinct user_id)", "SELECT count(DISTINCT user_id) FROM events"),
    (
        "top 10 users by sum",
        "SELECT user_id, sum(amount) AS s FROM events GROUP BY user_id ORDER BY s DESC, user_id LIMIT 10",
    ),
    (
        "one day, group by event",
        "SELECT event, count(*) FROM events WHERE ts >= TIMESTAMP '2024-05-11' AND ts < TIMESTAMP '2024-05-12' \
         GROUP BY event ORDER BY 1",
    ),
    ("campaign LIKE '%-29%'", "SELECT count(*) FROM events WHERE campaign LIKE '%-29%'"),
    ("all columns, newest 20", "SELECT * FROM events ORDER BY ts DESC LIMIT 20"),
    ("device_id = absent value", "SELECT count(*) FROM events WHERE device_id = '00000000deadbeef'"),
];

/// Answers a query with the texts of its rows.
type Answering = Box<dyn Fn(&str) -> Vec<String>>;

/// One way to answer the queries.
struct Contender {
    name: &'static str,
    bytes: u64,
    answer: Answering,
}

/// Runs the comparison and prints it.
pub fn run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let batches = events::batches(EVENT_COUNT);
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let contenders = [
        of_store("store", directory.path(), &batches, &runtime, 0),
        of_store("store, 10 % deleted", directory.path(), &batches, &runtime, 10),
        of_parquet("parquet zstd", directory.path(), &batches, &runtime, Compression::ZSTD(ZstdLevel::default())),
        of_parquet("parquet lz4", directory.path(), &batches, &runtime, Compression::LZ4_RAW),
        of_arrow(directory.path(), &batches, &runtime),
    ];
    drop(batches);
    print!("\nscan9: {EVENT_COUNT} events, processor ms\n{:28}", "query");
    for contender in &contenders {
        print!("{:>21}", contender.name);
    }
    println!();
    let mut totals = vec![0.0; contenders.len()];
    for (name, sql) in QUERIES {
        print!("{name:28}");
        let expected = (contenders[0].answer)(sql);
        for (contender, total) in contenders.iter().zip(&mut totals) {
            let answer = (contender.answer)(sql);
            // Deleted rows change the answers.
            if !contender.name.contains("deleted") {
                assert_close(&answer, &expected, name, contender.name);
            }
            let Cost { cpu, .. } = cheapest(TIMES, || drop((contender.answer)(sql)));
            let ms = cpu.as_secs_f64() * 1e3;
            *total += ms;
            print!("{ms:21.1}");
        }
        println!();
    }
    print!("{:28}", "total");
    totals.iter().for_each(|total| print!("{total:21.1}"));
    print!("\n{:28}", "MB on disk");
    contenders.iter().for_each(|contender| print!("{:21.1}", contender.bytes as f64 / 1e6));
    println!();
}

/// Answers agree but for the last digits of sums of floats.
pub fn assert_close(left: &[String], right: &[String], query: &str, name: &str) {
    assert_eq!(left.len(), right.len(), "{query}: {name}");
    for (left, right) in left.iter().zip(right) {
        for (left, right) in left.split('|').zip(right.split('|')) {
            let close = match (left.parse::<f64>(), right.parse::<f64>()) {
                (Ok(left), Ok(right)) => (left - right).abs() <= 1e-9 * right.abs(),
                _ => left == right,
            };
            assert!(close, "{query}: {name} says {left}, the store {right}");
        }
    }
}

fn printed(batch: &RecordBatch, out: &mut Vec<String>) {
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("prints")).collect();
    out.extend(
        (0..batch.num_rows())
            .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
    );
}

/// A store with the events in parts, and a session over it.
pub fn store_session(directory: &Path, batches: &[RecordBatch], runtime: &Runtime) -> (Session, Store) {
    let config = StoreConfig { data_dir: directory.to_owned(), background: false, ..StoreConfig::default() };
    let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("the store opens");
    let engine = Engine::open(EngineConfig { target_partitions: 1, ..EngineConfig::default() }, store.clone());
    let login = Login { user: "postgres".to_owned(), database: "tributary".to_owned(), ..Login::default() };
    let mut session = engine.expect("the engine opens").connect(login).expect("a session");
    runtime.block_on(rows(&mut session, events::TABLE));
    let table = store.snapshot().tables().map(|(oid, _)| oid).max().expect("the table is there");
    let mut txn = store.begin(Isolation::ReadCommitted);
    for batch in batches {
        txn.append(table, batch.clone()).expect("rows fit the table");
    }
    runtime.block_on(store.commit(txn)).expect("commits");
    store.checkpoint().expect("a checkpoint");
    (session, store)
}

fn of_store(
    name: &'static str,
    directory: &Path,
    batches: &[RecordBatch],
    runtime: &Arc<Runtime>,
    deleted_percent: i64,
) -> Contender {
    let (mut session, store) = store_session(&directory.join(name), batches, runtime);
    if deleted_percent > 0 {
        let delete = format!("DELETE FROM events WHERE sess % 100 < {deleted_percent}");
        runtime.block_on(rows(&mut session, &delete));
    }
    let bytes = store.snapshot().tables().map(|(_, table)| table.bytes()).sum();
    let session = std::cell::RefCell::new(session);
    let runtime = Arc::clone(runtime);
    let answer = move |sql: &str| runtime.block_on(rows(&mut session.borrow_mut(), sql));
    Contender { name, bytes, answer: Box::new(answer) }
}

/// Texts of the rows of a statement.
pub async fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    session.begin_statement(sql);
    let statement = session.parse(sql).expect("parses").remove(0);
    let prepared = session.analyze(statement, &[]).await.expect("plans");
    let mut portal = session.bind(&prepared, Vec::new()).await.expect("binds");
    let mut out = Vec::new();
    if let Outcome::Rows(_) = session.run(&mut portal).await.expect("runs") {
        while let Some(batch) = session.fetch(&mut portal, usize::MAX).await.expect("runs") {
            printed(&batch, &mut out);
        }
    }
    session.end_statement();
    session.finish(Implicit::Commit).await.expect("commits");
    out
}

fn of_parquet(
    name: &'static str,
    directory: &Path,
    batches: &[RecordBatch],
    runtime: &Arc<Runtime>,
    compression: Compression,
) -> Contender {
    let path = directory.join(format!("{}.parquet", name.replace(' ', "_")));
    let properties =
        WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(131_072));
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, events::schema(), Some(properties.build())).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("writes"));
    writer.close().expect("closes");
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().execution.parquet.pushdown_filters = true;
    config.options_mut().execution.parquet.reorder_filters = true;
    let context = SessionContext::new_with_config(config);
    let options = ParquetReadOptions::default();
    runtime.block_on(context.register_parquet("events", path.to_string_lossy(), options)).expect("registers");
    plain(name, &path, context, runtime)
}

fn of_arrow(directory: &Path, batches: &[RecordBatch], runtime: &Arc<Runtime>) -> Contender {
    let path = directory.join("events.arrow");
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = FileWriter::try_new(file, &events::schema()).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("writes"));
    writer.finish().expect("closes");
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let options = ListingOptions::new(Arc::new(ArrowFormat)).with_file_extension(".arrow");
    runtime
        .block_on(context.register_listing_table("events", path.to_string_lossy(), options, None, None))
        .expect("registers");
    plain("arrow file", &path, context, runtime)
}

/// Queries of plain DataFusion.
fn plain(name: &'static str, path: &Path, context: SessionContext, runtime: &Arc<Runtime>) -> Contender {
    let runtime = Arc::clone(runtime);
    let bytes = std::fs::metadata(path).expect("the file is there").len();
    let answer = move |sql: &str| {
        let batches = runtime.block_on(async { context.sql(sql).await.expect("plans").collect().await.expect("runs") });
        let mut out = Vec::new();
        batches.iter().for_each(|batch| printed(batch, &mut out));
        out
    };
    Contender { name, bytes, answer: Box::new(answer) }
}
