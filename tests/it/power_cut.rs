//! The power fails while clients write: what was acknowledged before is on the disk.
//!
//! The data directory lies on a file system in a loop-mounted image. A reflink copy of that image is what the device had
//! received at that instant; everything still in the page cache is lost with the power. The null control runs the same
//! with `unsafe_no_fsync` and must lose something: a detector that never fired is not trusted.
//! Needs root, `mkfs.ext4` and `mkfs.xfs`; elsewhere it says SKIPPED.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::crash::{CLIENTS, Ledger, RunningServer, checksum, create_schema, halves, write};

/// Cuts of the run that CI does; a campaign raises it.
const CUTS: u32 = 5;
/// Tries in which the null control must lose something.
const NULL_TRIES: u32 = 5;

fn run(command: &str, arguments: &[&Path]) -> bool {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let status = Command::new(program).args(words).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A mounted image; unmounted when dropped.
struct Mounted {
    point: PathBuf,
}

impl Mounted {
    fn new(image: &Path, point: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&point).ok()?;
        run("mount -o loop", &[image, &point]).then_some(Self { point })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(run("umount", &[&self.point]), "{} is unmounted", self.point.display());
    }
}

/// A file system whose image can be copied at an instant. Fields are dropped in this order: inner first.
struct Disk {
    inner: Mounted,
    host: Mounted,
    directory: tempfile::TempDir,
}

impl Disk {
    /// `None` where the machine cannot do it.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().ok()?;
        let image = directory.path().join("host.img");
        let ready = run("truncate -s 1500M", &[&image]) && run("mkfs.xfs -qfm reflink=1", &[&image]);
        if !ready {
            return None;
        }
        let host = Mounted::new(&image, directory.path().join("host"))?;
        let disk = host.point.join("disk.img");
        if !(run("truncate -s 400M", &[&disk]) && run("mkfs.ext4 -qF", &[&disk])) {
            return None;
        }
        let inner = Mounted::new(&disk, directory.path().join("disk"))?;
        Some(Self { inner, host, directory })
    }

    fn data_dir(&self) -> PathBuf {
        self.inner.point.join("data")
    }

    /// What the device had received at this instant, mounted.
    fn cut(&self) -> Mounted {
        let (disk, cut) = (self.host.point.join("disk.img"), self.host.point.join("cut.img"));
        assert!(run("cp --reflink=always", &[&disk, &cut]), "the image is copied");
        Mounted::new(&cut, self.directory.path().join("cut")).expect("the file system of the cut mounts")
    }
}

/// Transactions acknowledged so far, of each client.
type Acknowledged = Vec<Vec<i64>>;

fn acknowledged(ledgers: &[Arc<Mutex<Ledger>>]) -> Acknowledged {
    let of = |ledger: &Arc<Mutex<Ledger>>| {
        ledger.lock().expect("no panic holds it").acked.keys().copied().collect::<Vec<i64>>()
    };
    ledgers.iter().map(of).collect()
}

/// What is wrong with the survivor: a transaction lost, or there by half. Later ones than `promised` may be there whole.
async fn faults(client: &Client, promised: &Acknowledged) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut rows: BTreeMap<(i32, i64), Vec<i64>> = BTreeMap::new();
    let mut faults = Vec::new();
    for row in client.query("SELECT client, tx, n, checksum FROM ledger", &[]).await? {
        let (key, n) = ((row.get::<_, i32>(0), row.get::<_, i64>(1)), row.get::<_, i64>(2));
        if row.get::<_, i64>(3) != checksum(key.0, key.1, n) {
            faults.push(format!("wrong: {key:?} row {n}"));
        }
        rows.entry(key).or_default().push(n);
    }
    let mut done: BTreeMap<(i32, i64), i64> = BTreeMap::new();
    for row in client.query("SELECT client, tx, rows FROM done", &[]).await? {
        done.insert((row.get(0), row.get(1)), row.get(2));
    }
    for (number, transactions) in (0..).zip(promised) {
        faults.extend(
            transactions
                .iter()
                .filter(|transaction| !done.contains_key(&(number, **transaction)))
                .map(|transaction| format!("lost: transaction {:?}", (number, transaction))),
        );
    }
    for (&(number, transaction), count) in &done {
        let deleter = transaction + 5;
        let deleted = deleter % 7 == 6 && done.contains_key(&(number, deleter));
        let expected: Vec<i64> = if deleted { Vec::new() } else { (0..*count).collect() };
        let mut found = rows.remove(&(number, transaction)).unwrap_or_default();
        found.sort_unstable();
        if found != expected {
            faults.push(format!("half: transaction {:?}: {found:?} of {expected:?}", (number, transaction)));
        }
    }
    faults.extend(rows.keys().map(|key| format!("phantom: {key:?}")));
    faults.extend(halves(client).await?);
    Ok(faults)
}

/// One round: write, cut the power at a random moment, look at the survivor.
fn round(runtime: &Runtime, random: &mut StdRng, extra: &[&str]) -> (usize, Vec<String>) {
    let disk = Disk::new().expect("it worked once");
    let ledgers: Vec<Arc<Mutex<Ledger>>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    let server = RunningServer::start_with(&disk.data_dir(), extra).expect("the server starts");
    let writers = runtime.block_on(async {
        create_schema(&server.connect().await.expect("connects")).await;
        let mut writers = Vec::new();
        for (number, ledger) in (0..).zip(&ledgers) {
            let client = server.connect().await.expect("connects");
            writers.push(tokio::spawn(write(client, number, Arc::clone(ledger), random.random())));
        }
        writers
    });
    // The moment of the cut is what is random here; nothing is waited for.
    std::thread::sleep(Duration::from_millis(random.random_range(100..700)));
    let promised = acknowledged(&ledgers);
    let cut = disk.cut();
    drop(server);
    runtime.block_on(async {
        for writer in writers {
            writer.await.expect("writers do not panic");
        }
    });
    let count = promised.iter().map(Vec::len).sum();
    let found = match RunningServer::start_with(&cut.point.join("data"), extra) {
        Err(log) => vec![format!("lost: the server does not start on the survivor: {log}")],
        Ok(survivor) => runtime.block_on(async {
            let client = survivor.connect().await.expect("connects");
            faults(&client, &promised).await.unwrap_or_else(|error| vec![format!("lost: {error}")])
        }),
    };
    drop(cut);
    (count, found)
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    if Disk::new().is_none() {
        println!("SKIPPED power cut: needs root, loop devices, mkfs.ext4 and mkfs.xfs");
        return;
    }
    let cuts = std::env::var("CRASH_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut random = StdRng::seed_from_u64(29);
    let mut acknowledged = 0;
    for number in 0..cuts {
        let (count, found) = round(&runtime, &mut random, &[]);
        assert!(found.is_empty(), "cut {number} after {count} acknowledged transactions:\n{}", found.join("\n"));
        acknowledged += count;
    }
    assert!(acknowledged > cuts as usize, "the writers hardly wrote: {acknowledged}");
    let unsafe_server = ["--set", "store.unsafe_no_fsync=true", "--accept-data-loss"];
    let lost = (1..=NULL_TRIES).find(|_| !round(&runtime, &mut random, &unsafe_server).1.is_empty());
    let tries = lost.expect("the null control must lose acknowledged transactions, or this test tests nothing");
    println!(
        "{cuts} power cuts, {acknowledged} acknowledged transactions, none lost; without fsync the loss came in try {tries}"
    );
}
