//! COPY FROM STDIN of events as CSV, in process: what parsing, checking and storing cost without a network.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use tributary::engine::{Engine, EngineConfig, Implicit, Login, Outcome};
use tributary_store::{RealDisk, Store, StoreConfig, SystemClock};

const ROW_COUNT: usize = 2_000_000;

/// Rows made ahead and loaded over and over: making them must not be what is measured.
const MADE_ROWS: usize = 100_000;

const TABLE: &str = "CREATE TABLE load (event_id bigint, ts timestamp, user_id bigint, device_id text, channel text, \
     event_name text, campaign text, country text, page text, revenue float8, cost float8, quantity int)";

/// Loads and prints rows per second.
pub fn run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = StoreConfig { data_dir: directory.path().to_owned(), ..StoreConfig::default() };
    let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("the store opens");
    let engine = Engine::open(EngineConfig::default(), store).expect("the engine opens");
    let login = Login { user: "postgres".to_owned(), database: "tributary".to_owned(), ..Login::default() };
    let mut session = engine.connect(login).expect("a session");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let mut data = String::new();
    for row in 0..MADE_ROWS {
        let (day, second) = (row % 28 + 1, row % 60);
        writeln!(
            data,
            "{row},2024-05-{day:02} 12:34:{second:02}.123456,{},{:016x},social,view,camp-{},DE,/products/{},{}.25,0.5,{}",
            row * 7 % 40_000, row * 31, row % 3_000, row % 900, row % 100, row % 5
        )
        .expect("text grows");
    }
    runtime.block_on(async {
        for text in [TABLE, "COPY load FROM STDIN (FORMAT csv)"] {
            let began = Instant::now();
            session.begin_statement(text);
            let statement = session.parse(text).expect("parses").remove(0);
            let prepared = session.analyze(statement, &[]).await.expect("plans");
            let mut portal = session.bind(&prepared, Vec::new()).await.expect("binds");
            if let Outcome::CopyIn(mut copy) = session.run(&mut portal).await.expect("runs") {
                for _ in 0..ROW_COUNT / MADE_ROWS {
                    for piece in data.as_bytes().chunks(64 << 10) {
                        copy.push(&mut session, piece).await.expect("takes the data");
                    }
                }
                copy.finish(&mut session).await.expect("loads");
            }
            session.end_statement();
            session.finish(Implicit::Commit).await.expect("commits");
            if text != TABLE {
                let seconds = began.elapsed().as_secs_f64();
                let (rows, megabytes) = (ROW_COUNT as f64 / seconds, data.len() as f64 * 20.0 / 1e6 / seconds);
                println!("\ncopy: {ROW_COUNT} rows of 12 columns, {rows:.0} rows/s, {megabytes:.0} MB/s, durable");
            }
        }
    });
}
