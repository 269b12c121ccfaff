//! Damage done on purpose: torn tails, flipped bits, a lost meta store, failing storage, a second process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::kit::{self, TABLE, create, ids, open, rows, table};
use crate::check::check_with;
use crate::meta::Watched;
use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom, Vice};
use crate::{Disk, Isolation, MetaOpener, MetaStore, RealDisk, Space, Store, StoreConfig, StoreError, check};

struct Sim {
    disk: SimDisk,
    meta: SimMeta,
    config: StoreConfig,
}

impl Sim {
    fn new() -> Self {
        let config = StoreConfig {
            wal_segment_bytes_first: 1 << 15,
            wal_segment_bytes_max: 1 << 15,
            carry_table_bytes: 0,
            ..StoreConfig::at("/sim/data")
        };
        Self { disk: SimDisk::new(), meta: SimMeta::new(), config }
    }

    fn fork(&self) -> Self {
        Self { disk: self.disk.fork(), meta: self.meta.fork(), config: self.config.clone() }
    }

    fn open(&self) -> crate::Result<Store> {
        Store::open_simulated(&self.config, &self.disk, Arc::new(SimClock::default()), &self.meta)
    }

    fn check(&self) -> Vec<crate::Finding> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        check_with(&self.config.data_dir, &disk, Some(&self.meta)).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.disk.files().into_iter().rfind(|path| path.extension().is_some_and(|e| e == "wal")).unwrap()
    }
}

/// Puts one value per commit; all queued ones are one group.
fn queue_put(store: &Store, number: u8, bytes: usize) -> crate::Ticket {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.put(Space::Kv, &[number], &vec![number; bytes]).unwrap();
    store.commit(txn)
}

fn keys(store: &Store) -> Vec<u8> {
    store.snapshot().scan(Space::Kv, b"").map(|(key, _)| key[0]).collect()
}

#[test]
fn a_torn_last_group_leaves_an_exact_prefix_whatever_bytes_survive() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    for number in 1..=2 {
        let _ticket = queue_put(&store, number, 300);
        store.step_commit();
    }
    let log = sim.log();
    let start = sim.disk.content(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    let group: Vec<_> = (3..=5).map(|number| queue_put(&store, number, 900)).collect();
    store.step_commit();
    assert!(group.iter().all(|ticket| ticket.try_wait().unwrap().is_ok()));
    drop(store);
    let bytes = sim.disk.content(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let frame = (end - start).next_multiple_of(8) / 3;
    let padding = frame * 3 - (end - start);
    let prefix_of = |first_bad: usize| -> Vec<u8> {
        let whole = (0..3).take_while(|i| start + (i + 1) * frame - padding <= first_bad).count();
        (1..=u8::try_from(2 + whole).unwrap()).collect()
    };
    let survivors = |change: &dyn Fn(&mut Vec<u8>)| -> Vec<u8> {
        let copy = sim.fork();
        copy.disk.damage(&log, |bytes| change(bytes)).unwrap();
        keys(&copy.open().unwrap_or_else(|error| panic!("refused: {error}")))
    };
    for at in start..end {
        assert_eq!(survivors(&|bytes| bytes[at..].fill(0)), prefix_of(at), "cut at {at}");
        let in_padding = (at - start) % frame >= frame - padding;
        let expected = prefix_of(if in_padding { end } else { at });
        assert_eq!(survivors(&|bytes| bytes[at] ^= 0x40), expected, "garbled at {at}");
    }
    let blocks: Vec<usize> = (start / 512..=(end - 1) / 512).collect();
    assert!(blocks.len() <= 8, "the group spans {} blocks", blocks.len());
    for kept in 0..1u32 << blocks.len() {
        let lost = |block: usize| kept & (1 << (block - blocks[0])) == 0;
        let first_bad = (start..end).find(|at| lost(at / 512)).unwrap_or(usize::MAX - 8);
        let found = survivors(&|bytes| {
            for at in (start..end).filter(|at| lost(at / 512)) {
                bytes[at] = 0;
            }
        });
        assert_eq!(found, prefix_of(first_bad), "blocks {kept:b}");
    }
}

#[test]
fn damage_to_acknowledged_commits_is_refused_and_listed_when_accepted() {
    let mut sim = Sim::new();
    let store = sim.open().unwrap();
    for number in 1..=4 {
        let _ticket = queue_put(&store, number, 300);
        store.step_commit();
    }
    drop(store);
    let log = sim.log();
    let bytes = sim.disk.content(&log).unwrap();
    let second = bytes.windows(300).position(|window| window == [2; 300]).unwrap();
    sim.disk.damage(&log, |bytes| bytes[second] ^= 1).unwrap();
    let error = sim.open().unwrap_err();
    assert_eq!(error.sqlstate, "XX001");
    assert!(error.message.starts_with("write-ahead log is damaged at 0000000000000001:"), "{error}");
    assert!(error.message.ends_with("(commit 2)"), "{error}");
    assert!(error.hint.unwrap().contains("--accept-data-loss"));
    assert!(sim.check().iter().any(|finding| finding.damage && finding.file == "wal"));
    sim.config.accept_data_loss = true;
    let store = sim.open().unwrap();
    assert_eq!(keys(&store), [1]);
    let loss = sim.disk.files().into_iter().find(|path| path.to_string_lossy().contains("LOSS-")).unwrap();
    let text = String::from_utf8(sim.disk.content(&loss).unwrap()).unwrap();
    assert!(text.ends_with("commits dropped:\n3\n4\n"), "{text}");
}

#[test]
fn a_mark_makes_damage_in_the_last_group_recognisable() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    let _ticket = queue_put(&store, 1, 300);
    store.step_commit();
    store.step_mark();
    drop(store);
    let log = sim.log();
    let bytes = sim.disk.content(&log).unwrap();
    let value = bytes.windows(300).position(|window| window == [1; 300]).unwrap();
    sim.disk.damage(&log, |bytes| bytes[value] ^= 1).unwrap();
    assert!(sim.open().unwrap_err().message.starts_with("write-ahead log is damaged"));
}

/// A store with everything in it: parts with deletes, delta rows, values, a blob, two checkpoints.
fn full_sim() -> (Sim, BTreeMap<i64, (u32, u32)>) {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    let commit = |build: &dyn Fn(&mut crate::Txn)| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        build(&mut txn);
        let ticket = store.commit(txn);
        store.step_commit();
        ticket.try_wait().unwrap().unwrap();
    };
    commit(&|txn| txn.ddl(table(TABLE)).unwrap());
    commit(&|txn| txn.append(TABLE, rows(0..500)).unwrap());
    store.checkpoint().unwrap();
    commit(&|txn| kit::delete_in(txn, &[5, 6]));
    commit(&|txn| txn.put(Space::Kv, b"blob", &vec![3; 70_000]).unwrap());
    commit(&|txn| txn.append(TABLE, rows(500..900)).unwrap());
    store.checkpoint().unwrap();
    commit(&|txn| txn.append(TABLE, rows(900..910)).unwrap());
    commit(&|txn| kit::delete_in(txn, &[7, 901]));
    store.step_mark();
    while store.step_meta() {}
    let expected = kit::read(&store);
    (sim, expected)
}

#[test]
fn a_healthy_directory_has_no_findings() {
    let (sim, _) = full_sim();
    assert_eq!(sim.check().into_iter().filter(|finding| finding.damage).collect::<Vec<_>>(), []);
}

/// Opens, reads everything, and gives what went wrong; wrong rows panic.
fn read_all(sim: &Sim, expected: &BTreeMap<i64, (u32, u32)>) -> Result<(), StoreError> {
    let store = sim.open()?;
    let found = kit::try_read(&store.snapshot())?;
    assert_eq!(found, *expected, "wrong rows were answered");
    let blob = store.snapshot().get(Space::Kv, b"blob").map(|value| value.read()).transpose()?;
    assert_eq!(blob.as_deref(), Some(&[3; 70_000][..]), "a wrong value was answered");
    Ok(())
}

#[test]
fn three_hundred_flipped_bits_are_reported_or_harmless() {
    let (sim, expected) = full_sim();
    read_all(&sim.fork(), &expected).unwrap();
    let mut random = SimRandom::new(8);
    let mut by_kind: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in sim.disk.files().into_iter().filter(|path| !sim.disk.content(path).unwrap().is_empty()) {
        let part = if path.starts_with("/sim/data/blobs") { None } else { path.extension().or(path.file_name()) };
        by_kind.entry(part.map_or("blob".into(), |kind| kind.to_string_lossy().into())).or_default().push(path);
    }
    let kinds: Vec<&str> = by_kind.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["CHECKPOINT", "FORMAT", "arrow", "base", "blob", "idx", "inc", "wal"]);
    let needed_from = crate::format::Checkpoint::read(&sim.disk, &sim.config.data_dir).unwrap().unwrap();
    let needed_from = needed_from.previous_wal_start;
    let first_log = crate::wal::segment_path(&sim.config.data_dir, needed_from.segment());
    let (mut reported, mut harmless, mut unseen_by_check) = (0, 0, Vec::new());
    for number in 0..kit::campaign("CRASH_FLIPS", 300) {
        let copy = sim.fork();
        let kind = kinds[number as usize % kinds.len()];
        let files = &by_kind[kind];
        let path = &files[random.below(files.len() as u64) as usize];
        let mut unused = false;
        copy.disk
            .damage(path, |bytes| {
                let bit = random.below(bytes.len() as u64 * 8) as usize;
                // Zeros between and behind frames mean nothing, nor does the log before the older checkpoint.
                let before = *path == first_log && bit / 8 < needed_from.offset() as usize;
                unused = kind == "wal" && (bytes[bit / 8] == 0 || before);
                bytes[bit / 8] ^= 1 << (bit % 8);
            })
            .unwrap();
        let found = copy.check().iter().any(|finding| finding.damage);
        match read_all(&copy, &expected) {
            Ok(()) => harmless += 1,
            Err(error) => {
                assert_eq!(error.sqlstate, "XX001", "{}: {error}", path.display());
                reported += 1;
                if !found {
                    unseen_by_check.push(path.clone());
                }
            }
        }
        if !found && !unused {
            unseen_by_check.push(path.clone());
        }
    }
    println!("{reported} reported, {harmless} harmless");
    assert!(reported > 50 && harmless > 5, "{reported} reported, {harmless} harmless");
    // Every byte but the zeros of a log is covered by some checksum; `check` must have seen every flip.
    assert_eq!(unseen_by_check, Vec::<PathBuf>::new());
}

#[test]
fn damage_in_a_part_names_file_column_batch_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    kit::insert(&store, 0..1000);
    store.close().unwrap();
    let part = std::fs::read_dir(dir.path().join(format!("parts/{TABLE}")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "arrow"))
        .unwrap();
    let mut bytes = std::fs::read(&part).unwrap();
    let at = bytes.windows(8).position(|window| window == 500i64.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let store = open(dir.path()).unwrap();
    let error = kit::try_read(&store.snapshot()).unwrap_err();
    assert_eq!((error.sqlstate, error.message), ("XX001", format!("part 2 of table {TABLE} is damaged")));
    let detail = error.detail.unwrap();
    assert!(
        detail.starts_with(&format!("File parts/{TABLE}/00000002.arrow, column \"id\", batch 0, offset ")),
        "{detail}"
    );
    drop(store);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    assert!(check(dir.path(), &disk).unwrap().iter().any(|finding| finding.damage));
}

#[test]
fn a_lost_index_is_rebuilt_from_its_part() {
    let (sim, expected) = full_sim();
    for path in sim.disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "idx")) {
        sim.disk.unlink(&path).unwrap();
    }
    read_all(&sim, &expected).unwrap();
    assert!(sim.disk.files().iter().any(|path| path.extension().is_some_and(|e| e == "idx")));
    read_all(&sim, &expected).unwrap();
}

/// What is in `ckpt/` after one more checkpoint.
fn dump_after(sim: &Sim) -> Vec<u8> {
    let store = sim.open().unwrap();
    store.checkpoint().unwrap();
    let seq = store.status().checkpoint_seq;
    drop(store);
    sim.disk.content(&Path::new("/sim/data/ckpt").join(format!("{seq}.base"))).unwrap()
}

#[test]
fn a_meta_store_with_any_vice_is_rebuilt_to_an_identical_dump() {
    let (sim, expected) = full_sim();
    let healthy = sim.fork();
    read_all(&healthy, &expected).unwrap();
    let good = dump_after(&healthy);
    for vice in [Vice::Err, Vice::Panic, Vice::OldCopy, Vice::WrongDigest, Vice::Empty] {
        let copy = sim.fork();
        copy.meta.arm(vice);
        read_all(&copy, &expected).unwrap_or_else(|error| panic!("{vice:?}: {error}"));
        assert_eq!(dump_after(&copy), good, "{vice:?}");
    }
}

/// Hangs the first time it is asked to open.
struct Hanging {
    meta: SimMeta,
    hangs: AtomicBool,
    release: Mutex<mpsc::Receiver<()>>,
}

impl MetaOpener for Hanging {
    fn open(&self) -> crate::Result<Box<dyn MetaStore>> {
        if self.hangs.swap(false, Ordering::Relaxed) {
            let released = self.release.lock().unwrap().recv();
            return Err(StoreError::new("58030", format!("{released:?}")));
        }
        self.meta.open()
    }

    fn set_aside(&self, time_us: i64) -> crate::Result<()> {
        self.meta.set_aside(time_us)
    }
}

#[test]
fn a_meta_store_that_hangs_at_open_is_rebuilt() {
    let (sim, expected) = full_sim();
    let (release, receiver) = mpsc::channel();
    let hanging = Hanging { meta: sim.meta.clone(), hangs: AtomicBool::new(true), release: Mutex::new(receiver) };
    let opener = Watched { opener: Arc::new(hanging), timeout: Duration::from_millis(20) };
    let (disk, clock) = (Arc::new(sim.disk.clone()), Arc::new(SimClock::default()));
    let store = Store::open_with(&sim.config, disk, clock, Arc::new(opener), true).unwrap();
    assert_eq!(kit::read(&store), expected);
    drop((store, release));
    read_all(&sim, &expected).unwrap();
}

#[test]
fn leftovers_in_tmp_are_removed_at_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let spill = dir.path().join("tmp/query-1/spill");
    std::fs::create_dir_all(&spill).unwrap();
    std::fs::write(spill.join("file"), "x").unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn one_damaged_dump_is_survivable_and_both_with_the_meta_store_intact() {
    let (sim, expected) = full_sim();
    let dumps: Vec<PathBuf> =
        sim.disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "base")).collect();
    assert_eq!(dumps.len(), 2);
    for dump in &dumps {
        let copy = sim.fork();
        copy.disk.damage(dump, |bytes| bytes[60] ^= 1).unwrap();
        copy.meta.arm(Vice::Empty);
        read_all(&copy, &expected).unwrap();
    }
    let copy = sim.fork();
    for dump in &dumps {
        copy.disk.damage(dump, |bytes| bytes[60] ^= 1).unwrap();
    }
    read_all(&copy, &expected).unwrap();
    let lost = copy.fork();
    lost.meta.arm(Vice::Empty);
    let error = lost.open().unwrap_err();
    assert_eq!(error.message, "data directory is damaged: no valid checkpoint");
    // The last case rewrites the dump.
    drop(dump_after(&copy));
    copy.meta.arm(Vice::Empty);
    assert!(kit::ids(&copy.open().unwrap()).iter().eq(expected.keys()));
    let copy = sim.fork();
    copy.disk.unlink(Path::new("/sim/data/CHECKPOINT")).unwrap();
    read_all(&copy, &expected).unwrap();
}

#[test]
fn any_damaged_file_of_many_checkpoints_is_survivable_without_the_meta_store() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    for number in 0..40 {
        drop(queue_put(&store, number % 30, 50 + usize::from(number)));
        store.step_commit();
        if number % 5 == 4 {
            store.checkpoint().unwrap();
        }
    }
    drop(queue_put(&store, 99, 10));
    store.step_commit();
    let expected = keys(&store);
    drop(store);
    let files: Vec<PathBuf> = sim.disk.files().into_iter().filter(|path| path.starts_with("/sim/data/ckpt")).collect();
    let of = |kind: &str| files.iter().filter(|path| path.extension().is_some_and(|e| e == kind)).count();
    assert_eq!((of("base"), of("inc")), (2, 7), "{files:?}");
    assert_eq!(sim.check().into_iter().filter(|finding| finding.damage).collect::<Vec<_>>(), []);
    for path in &files {
        let copy = sim.fork();
        copy.disk.damage(path, |bytes| bytes[30] ^= 1).unwrap();
        assert!(copy.check().iter().any(|finding| finding.damage), "{}", path.display());
        copy.meta.arm(Vice::Empty);
        let store = copy.open().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(keys(&store), expected, "{}", path.display());
    }
}

#[test]
fn a_real_meta_store_is_rebuilt_when_deleted_garbled_or_older() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    kit::insert(&store, 0..100);
    store.close().unwrap();
    let meta = dir.path().join("meta");
    let old = dir.path().join("old");
    copy_dir(&meta, &old);
    let store = open(dir.path()).unwrap();
    kit::insert(&store, 100..200);
    store.close().unwrap();
    let expected: Vec<i64> = (0..200).collect();
    for round in 0..3 {
        match round {
            0 => std::fs::remove_dir_all(&meta).unwrap(),
            1 => std::fs::write(meta.join("db"), vec![0x5A; 5_000]).unwrap(),
            _ => {
                std::fs::remove_dir_all(&meta).unwrap();
                copy_dir(&old, &meta);
            }
        }
        let store = open(dir.path()).unwrap();
        assert_eq!(ids(&store), expected, "round {round}");
        store.close().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let findings = check(dir.path(), &disk).unwrap();
        assert!(!findings.iter().any(|finding| finding.damage), "round {round}: {findings:?}");
    }
}

/// Flips in the files of the real metadata store: it is rebuilt, or does not mind; no row is lost or wrong.
#[test]
fn flipped_bits_in_a_real_meta_store_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let good = root.path().join("good");
    let store = open(&good).unwrap();
    create(&store);
    for round in 0..20 {
        kit::insert(&store, round * 10..(round + 1) * 10);
        kit::delete(&store, &[round * 10 + 3]).unwrap();
        store.flush(TABLE).unwrap();
    }
    store.close().unwrap();
    let expected: Vec<i64> = (0..200).filter(|id| id % 10 != 3).collect();
    let files: Vec<PathBuf> = files_below(&good.join("meta"));
    let mut random = SimRandom::new(5);
    let mut rebuilt = 0;
    for number in 0..kit::campaign("CRASH_META_FLIPS", 24) {
        let dir = root.path().join(format!("copy-{number}"));
        copy_dir(&good, &dir);
        let path = dir.join(files[random.below(files.len() as u64) as usize].strip_prefix(&good).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        // Sled fills its segments with zeros; a flip among those says little.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let at = used[random.below(used.len() as u64) as usize];
        // The first copy is left as it is: it must not be rebuilt.
        bytes[at] ^= if number == 0 { 0 } else { 1 << random.below(8) };
        std::fs::write(&path, bytes).unwrap();
        let store = open(&dir).unwrap_or_else(|error| panic!("{} at {at}: {error}", path.display()));
        assert_eq!(ids(&store), expected, "{} at {at}", path.display());
        store.close().unwrap();
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        let noticed = names.into_iter().any(|name| name.to_string_lossy().starts_with("meta.bad-"));
        assert!(number > 0 || !noticed, "a healthy store was rebuilt");
        rebuilt += u32::from(noticed);
        std::fs::remove_dir_all(&dir).unwrap();
    }
    println!("{rebuilt} rebuilt");
    assert!(rebuilt > 0, "no flip was noticed");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        match entry.metadata().unwrap() {
            found if found.is_dir() => out.extend(files_below(&entry.path())),
            found if found.len() > 0 => out.push(entry.path()),
            _ => {}
        }
    }
    out.sort();
    out
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_second_opener_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.sqlstate, "55006");
    assert!(error.message.contains("is in use by process"), "{error}");
    kit::insert(&store, 0..3);
    drop(store);
    // A stale process id in LOCK means nothing.
    std::fs::write(dir.path().join("LOCK"), "4711\n").unwrap();
    assert_eq!(ids(&open(dir.path()).unwrap()), [0, 1, 2]);
}

#[test]
fn a_failed_sync_ends_the_store_and_is_never_retried() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    let _ticket = queue_put(&store, 1, 10);
    store.step_commit();
    sim.disk.fail_sync_after(0);
    let ticket = queue_put(&store, 2, 10);
    store.step_commit();
    let error = ticket.try_wait().unwrap().unwrap_err();
    assert_eq!(
        (error.sqlstate, error.message.as_str()),
        ("08007", "commit outcome unknown: storage failed while syncing")
    );
    assert_eq!(keys(&store), [1], "what is not known to be durable must not be visible");
    assert_eq!(queue_put(&store, 3, 10).try_wait().unwrap().unwrap_err().sqlstate, "08007");
    assert!(store.failed().is_some());
    drop(store);
    sim.disk.crash(&mut SimRandom::new(1));
    assert!(keys(&sim.open().unwrap()).starts_with(&[1]));
}

#[test]
fn a_failed_write_is_refused_and_never_comes_back() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    let _ticket = queue_put(&store, 1, 10);
    store.step_commit();
    let tickets: Vec<_> = (2..=5).map(|number| queue_put(&store, number, 200)).collect();
    // Half of the group's bytes reach the file: two complete frames among them.
    sim.disk.fail_write_after(0);
    store.step_commit();
    for ticket in tickets {
        assert_eq!(ticket.try_wait().unwrap().unwrap_err().sqlstate, "58030");
    }
    let ticket = queue_put(&store, 6, 10);
    store.step_commit();
    assert!(ticket.try_wait().unwrap().is_ok());
    assert_eq!(keys(&store), [1, 6]);
    drop(store);
    assert_eq!(keys(&sim.open().unwrap()), [1, 6], "refused transactions came back");
}

#[test]
fn a_full_disk_refuses_writes_and_resumes_by_itself() {
    let sim = Sim::new();
    let store = sim.open().unwrap();
    sim.disk.limit(Some(1_000));
    let mut refused = None;
    for number in 0..200 {
        let ticket = queue_put(&store, number, 500);
        store.step_commit();
        if let Err(error) = ticket.try_wait().unwrap() {
            refused = Some((number, error));
            break;
        }
    }
    let (number, error) = refused.expect("the segment is full by now");
    assert_eq!(error.sqlstate, "53100");
    assert_eq!(error.message, "could not extend the write-ahead log: no space left on device");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.starts_with("Free space")), "{error:?}");
    assert_eq!(keys(&store).len(), usize::from(number), "reads go on");
    sim.disk.limit(None);
    let ticket = queue_put(&store, 250, 500);
    store.step_commit();
    assert!(ticket.try_wait().unwrap().is_ok());
    let expected = keys(&store);
    drop(store);
    assert_eq!(keys(&sim.open().unwrap()), expected);
}

#[test]
fn starting_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stranger"), "").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.sqlstate, "22023");
    assert_eq!(error.detail.as_deref(), Some("It contains \"stranger\"."));
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    drop(store);
    std::fs::remove_file(dir.path().join("CHECKPOINT")).unwrap();
    std::fs::remove_dir_all(dir.path().join("ckpt")).unwrap();
    assert_eq!(open(dir.path()).unwrap_err().message, "data directory is damaged: no valid checkpoint");
}
