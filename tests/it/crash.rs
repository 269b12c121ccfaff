//! kill -9 in the middle of writes, again and again: what was acknowledged is there, nothing is there by half.
//!
//! Clients write over the wire and log what was acknowledged in their own memory, outside the directory under test. After
//! each kill the server starts again on the directory and every promise is checked by plain reads.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, NoTls};

/// Kills of the run that CI does; the long campaign raises it.
const KILLS: u32 = 30;
/// Clients that write at once.
pub const CLIENTS: i32 = 4;

/// What one client knows of its own transactions.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Transactions by number: rows it inserted, minus what later ones deleted.
    pub acked: BTreeMap<i64, Vec<i64>>,
    /// Deleted by an acknowledged transaction.
    deleted: Vec<i64>,
    /// Sent, not yet answered: may be there whole or not at all. (number, deletes which)
    in_flight: Option<(i64, Option<i64>)>,
    next: i64,
}

/// A server process of its own.
pub struct RunningServer {
    child: Child,
    port: u16,
}

impl RunningServer {
    /// Starts on a free port and returns when it says that it is ready.
    fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[]).unwrap_or_else(|log| panic!("the server ended before it was ready:\n{log}"))
    }

    /// The same with more arguments; the error is the server's log if it ends before it is ready.
    pub fn start_with(data_dir: &Path, extra: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["serve", "--trust", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(extra)
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let mut seen = Vec::new();
        let port = loop {
            let line = match lines.next() {
                Some(line) => line.expect("the log is readable"),
                None => {
                    child.wait().expect("it is gone");
                    return Err(seen.join("\n"));
                }
            };
            if let Some((_, rest)) = line.split_once("127.0.0.1:").filter(|_| line.contains("ready")) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse().expect("a port");
            }
            seen.push(line);
        };
        // The log must be read on, or a chatty server would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, port })
    }

    /// A connection, if the server still takes them.
    pub async fn connect(&self) -> Option<Client> {
        let url = format!("host=127.0.0.1 port={} user=tributary dbname=tributary", self.port);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
        tokio::spawn(async move {
            connection.await.ok();
        });
        Some(client)
    }
}

/// SIGKILL, also when a test fails.
impl Drop for RunningServer {
    fn drop(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
    }
}

/// Writes until the connection dies. One transaction: rows in two tables, a counter, every 7th a delete.
pub async fn write(client: Client, number: i32, ledger: Arc<Mutex<Ledger>>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let (transaction, delete) = {
            let mut ledger = ledger.lock().expect("no panic holds it");
            let transaction = ledger.next;
            ledger.next += 1;
            let delete = (transaction % 7 == 6).then_some(transaction - 5).filter(|old| ledger.acked.contains_key(old));
            ledger.in_flight = Some((transaction, delete));
            (transaction, delete)
        };
        let rows: i64 = random.random_range(1..=5);
        let mut text = String::from("BEGIN;");
        for row in 0..rows {
            let sum = checksum(number, transaction, row);
            text.push_str(&format!("INSERT INTO ledger VALUES ({number}, {transaction}, {row}, {sum});"));
        }
        text.push_str(&format!("INSERT INTO done VALUES ({number}, {transaction}, {rows});"));
        text.push_str(&format!("UPDATE counter SET n = n + 1 WHERE client = {number};"));
        if transaction % 11 == 3 {
            text.push_str(&format!(
                "INSERT INTO latest VALUES ({number}, {transaction}) ON CONFLICT (client) DO UPDATE SET tx = excluded.tx;"
            ));
        }
        if let Some(old) = delete {
            text.push_str(&format!("DELETE FROM ledger WHERE client = {number} AND tx = {old};"));
        }
        text.push_str("COMMIT");
        if client.batch_execute(&text).await.is_err() {
            return;
        }
        let mut ledger = ledger.lock().expect("no panic holds it");
        ledger.acked.insert(transaction, (0..rows).collect());
        if let Some(old) = delete {
            ledger.deleted.push(old);
        }
        ledger.in_flight = None;
    }
}

/// The tables written to.
pub async fn create_schema(client: &Client) {
    let schema = "CREATE TABLE ledger (client int, tx bigint, n bigint, checksum bigint, PRIMARY KEY (client, tx, n));
        CREATE TABLE done (client int, tx bigint, rows bigint);
        CREATE TABLE counter (client int PRIMARY KEY, n bigint);
        CREATE TABLE latest (client int PRIMARY KEY, tx bigint);
        INSERT INTO counter SELECT i, 0 FROM generate_series(0, 15) AS s(i)";
    client.batch_execute(schema).await.expect("the schema is made");
}

/// Tells a row's place: a row that got another's values does not fit.
pub fn checksum(client: i32, transaction: i64, row: i64) -> i64 {
    i64::from(client) * 1_000_003 + transaction * 7_919 + row * 31
}

/// The rows one transaction changed in other tables agree with the list of transactions: what of them does not.
pub async fn halves(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "SELECT c.client, c.n, count(d.tx), max(l.tx), max(d.tx) FILTER (WHERE d.tx % 11 = 3)
        FROM counter c LEFT JOIN done d ON d.client = c.client LEFT JOIN latest l ON l.client = c.client
        GROUP BY c.client, c.n ORDER BY c.client";
    let mut faults = Vec::new();
    for row in client.query(query, &[]).await? {
        let (number, counted, done): (i32, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let (latest, expected): (Option<i64>, Option<i64>) = (row.get(3), row.get(4));
        if counted != done {
            faults.push(format!("half: client {number} counted {counted} of {done} transactions"));
        }
        if latest != expected {
            faults.push(format!("half: client {number} has {latest:?} as its latest instead of {expected:?}"));
        }
    }
    Ok(faults)
}

/// Lost, phantom, gap, half, wrong: each a panic with its name.
async fn verify(client: &Client, ledgers: &[Arc<Mutex<Ledger>>]) -> usize {
    let mut there: BTreeMap<(i32, i64), Vec<i64>> = BTreeMap::new();
    for row in client.query("SELECT client, tx, n, checksum FROM ledger", &[]).await.expect("readable") {
        let key = (row.get::<_, i32>(0), row.get::<_, i64>(1));
        let n: i64 = row.get(2);
        assert_eq!(row.get::<_, i64>(3), checksum(key.0, key.1, n), "wrong: {key:?} row {n}");
        there.entry(key).or_default().push(n);
    }
    let mut done: BTreeMap<(i32, i64), i64> = BTreeMap::new();
    for row in client.query("SELECT client, tx, rows FROM done", &[]).await.expect("readable") {
        let before = done.insert((row.get(0), row.get(1)), row.get(2));
        assert!(before.is_none(), "wrong: a transaction is there twice");
    }
    let mut acknowledged = 0;
    for (number, ledger) in (0..).zip(ledgers) {
        let mut ledger = ledger.lock().expect("no panic holds it");
        if let Some((transaction, delete)) = ledger.in_flight.take() {
            // Its outcome was never told: whole or absent, and from now on it counts as what it is.
            if let Some(rows) = done.get(&(number, transaction)) {
                ledger.acked.insert(transaction, (0..*rows).collect());
                ledger.deleted.extend(delete);
            }
        }
        for (transaction, rows) in &ledger.acked {
            acknowledged += 1;
            let key = (number, *transaction);
            assert_eq!(done.get(&key).copied(), Some(rows.len() as i64), "lost: transaction {key:?}");
            let mut found = there.remove(&key).unwrap_or_default();
            found.sort_unstable();
            let expected: &[i64] = if ledger.deleted.contains(transaction) { &[] } else { rows };
            assert_eq!(found, expected, "half: transaction {key:?}");
        }
        done.retain(|(client, transaction), _| *client != number || !ledger.acked.contains_key(transaction));
    }
    assert!(there.is_empty() && done.is_empty(), "phantom: {there:?} {done:?}");
    assert_eq!(halves(client).await.expect("readable"), Vec::<String>::new());
    let counted: i64 = client.query_one("SELECT count(*) FROM ledger", &[]).await.expect("readable").get(0);
    let summed =
        client.query_one("SELECT count(checksum + 0) FROM ledger", &[]).await.expect("readable").get::<_, i64>(0);
    assert_eq!(counted, summed, "wrong: count from statistics and from a scan differ");
    acknowledged
}

#[test]
fn killed_servers_lose_nothing() {
    let kills = std::env::var("CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let ledgers: Vec<Arc<Mutex<Ledger>>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    let mut random = StdRng::seed_from_u64(17);
    let mut acknowledged = 0;
    for round in 0..=kills {
        let server = RunningServer::start(&data_dir);
        let writers = runtime.block_on(async {
            let client = server.connect().await.expect("a fresh server takes connections");
            if round == 0 {
                create_schema(&client).await;
            }
            acknowledged = verify(&client, &ledgers).await;
            let mut writers = Vec::new();
            for (number, ledger) in (0..).zip(&ledgers) {
                let client = server.connect().await.expect("connects");
                let seed = random.random();
                writers.push(tokio::spawn(write(client, number, Arc::clone(ledger), seed)));
            }
            writers
        });
        if round == kills {
            break;
        }
        // The moment of the kill is what is random here; nothing is waited for.
        std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
        drop(server);
        runtime.block_on(async {
            for writer in writers {
                writer.await.expect("writers do not panic");
            }
        });
    }
    println!("{kills} kills, {acknowledged} acknowledged transactions, none lost, no phantom, no half");
    assert!(acknowledged > kills as usize, "the writers hardly wrote: {acknowledged}");
}
