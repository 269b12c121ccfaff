//! Backups under writes, increments, restore, and what refuses.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::kit::{self, TABLE, create, delete, ids, insert, open};
use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom};
use crate::{Disk, Isolation, RealDisk, Space, Store, StoreConfig, check, restore};

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk::new())
}

fn damage(dir: &Path) -> Vec<crate::Finding> {
    check(dir, &disk()).unwrap().into_iter().filter(|finding| finding.damage).collect()
}

fn filled(dir: &Path) -> Store {
    let store = open(dir).unwrap();
    create(&store);
    insert(&store, 0..5_000);
    store.flush(TABLE).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.put(Space::Kv, b"blob", &vec![3; 100_000]).unwrap();
    txn.put(Space::Kv, b"small", b"value").unwrap();
    store.commit(txn).wait().unwrap();
    delete(&store, &[17, 18]).unwrap();
    store
}

#[test]
fn a_backup_under_writes_is_the_state_at_its_commit() {
    let root = tempfile::tempdir().unwrap();
    let store = filled(&root.path().join("data"));
    let written: Mutex<Vec<(u64, i64)>> = Mutex::default();
    let stop = AtomicBool::new(false);
    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        let (writer, stop, written) = (store.clone(), &stop, &written);
        scope.spawn(move || {
            for id in 10_000.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let seq = insert(&writer, [id]);
                written.lock().unwrap().push((seq, id));
            }
        });
        for number in 0..kit::campaign("CRASH_BACKUPS", 4) {
            // Each backup has something new to copy.
            let before = written.lock().unwrap().len();
            while written.lock().unwrap().len() < before + 20 {
                std::thread::yield_now();
            }
            let dir = root.path().join(format!("backups/{number}"));
            let done = store.backup(&dir).unwrap();
            backups.push((dir, done));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let written = written.into_inner().unwrap();
    let base: Vec<i64> = (0..5_000).filter(|id| ![17, 18].contains(id)).collect();
    for (number, (dir, done)) in backups.iter().enumerate() {
        assert_eq!(damage(dir), []);
        let restored = root.path().join(format!("restored-{number}"));
        assert!(restore(dir, &restored, &disk()).unwrap() > 5);
        assert_eq!(damage(&restored), []);
        let copy = open(&restored).unwrap();
        assert_eq!(copy.snapshot().seq(), done.seq);
        let mut expected = base.clone();
        expected.extend(written.iter().filter(|(seq, _)| *seq <= done.seq).map(|(_, id)| *id));
        assert_eq!(ids(&copy), expected);
        assert_eq!(copy.snapshot().get(Space::Kv, b"blob").unwrap().read().unwrap().len(), 100_000);
        assert_eq!(&*copy.snapshot().get(Space::Kv, b"small").unwrap().read().unwrap(), b"value");
        // It is a database of its own: it takes writes and survives a restart.
        insert(&copy, [-1]);
        copy.close().unwrap();
        assert_eq!(ids(&open(&restored).unwrap()).first(), Some(&-1));
    }
}

/// Files below `dir` by relative path, with their inode.
fn inodes(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut out = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else {
                out.insert(path.strip_prefix(dir).unwrap().to_path_buf(), entry.metadata().unwrap().ino());
            }
        }
    }
    out
}

#[test]
fn parts_are_linked_where_they_can_be() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let store = filled(&data);
    let target = root.path().join("b");
    store.backup(&target).unwrap();
    let (live, copied) = (inodes(&data), inodes(&target));
    let parts: Vec<&PathBuf> =
        copied.keys().filter(|path| path.starts_with("parts") || path.starts_with("blobs")).collect();
    assert!(parts.len() >= 3, "{parts:?}");
    assert!(parts.iter().all(|path| copied[*path] == live[*path]), "a part was copied though it could be linked");
    assert!(!target.join("meta").exists() && std::fs::read_dir(target.join("wal")).unwrap().count() == 0);
    // What the live database does later does not reach the copy.
    store.rewrite_deleted(TABLE).unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    assert_eq!(damage(&target), []);
}

/// Between two file systems nothing of the data can be linked, but the second backup links what the first one has.
#[test]
fn a_second_backup_links_unchanged_files_of_the_first() {
    let (disk, meta) = (SimDisk::new(), SimMeta::new());
    let config = StoreConfig::at("/sim/data");
    let store = Store::open_simulated(&config, &disk, Arc::<SimClock>::default(), &meta).unwrap();
    let commit = |build: &dyn Fn(&mut crate::Txn)| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        build(&mut txn);
        let ticket = store.commit(txn);
        store.step_commit();
        ticket.try_wait().unwrap().unwrap();
    };
    commit(&|txn| txn.ddl(kit::table(TABLE)).unwrap());
    commit(&|txn| txn.append(TABLE, kit::rows(0..500)).unwrap());
    disk.refuse_links(true);
    let first = store.backup(Path::new("/sim/backups/1")).unwrap();
    // A part with its index, and the dump.
    assert_eq!((first.linked_files, first.written_files), (0, 3));
    commit(&|txn| txn.append(TABLE, kit::rows(500..600)).unwrap());
    disk.refuse_links(false);
    disk.refuse_links_from(Some("/sim/data".into()));
    let second = store.backup(Path::new("/sim/backups/2")).unwrap();
    assert_eq!((second.linked_files, second.written_files), (2, 3));
    disk.refuse_links_from(None);
    for number in [1, 2] {
        let config = StoreConfig::at(format!("/sim/backups/{number}"));
        let copy = Store::open_simulated(&config, &disk.fork(), Arc::default(), &SimMeta::new()).unwrap();
        assert_eq!(kit::read(&copy).len(), if number == 1 { 500 } else { 600 });
    }
}

/// Rows in memory become parts of a copy under numbers that the database gives to other parts later.
#[test]
fn a_second_backup_takes_no_file_of_the_first_for_its_name_and_size() {
    let (disk, meta) = (SimDisk::new(), SimMeta::new());
    let config = StoreConfig::at("/sim/data");
    let store = Store::open_simulated(&config, &disk, Arc::<SimClock>::default(), &meta).unwrap();
    let commit = |build: &dyn Fn(&mut crate::Txn)| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        build(&mut txn);
        let ticket = store.commit(txn);
        store.step_commit();
        ticket.try_wait().unwrap().unwrap();
    };
    disk.refuse_links_from(Some("/sim/data".into()));
    commit(&|txn| txn.ddl(kit::table(TABLE)).unwrap());
    // Names have a period of 140.
    commit(&|txn| txn.append(TABLE, kit::rows(140..280)).unwrap());
    crate::backup::backup(store.shared(), Path::new("/sim/backups/1")).unwrap();
    commit(&|txn| kit::delete_in(txn, &(140..280).collect::<Vec<_>>()));
    commit(&|txn| txn.append(TABLE, kit::rows(280..420)).unwrap());
    store.flush(TABLE).unwrap();
    store.backup(Path::new("/sim/backups/2")).unwrap();
    let mut same_size = 0;
    for path in disk.files().iter().filter(|path| path.starts_with("/sim/backups/2/parts")) {
        let relative = path.strip_prefix("/sim/backups/2").unwrap();
        let content = |dir: &str| disk.content(&Path::new(dir).join(relative));
        assert!(content("/sim/backups/2").unwrap() == content("/sim/data").unwrap(), "{}", relative.display());
        let first = content("/sim/backups/1").unwrap_or_default();
        same_size += usize::from(first.len() == content("/sim/data").unwrap().len());
    }
    assert!(same_size > 0, "no file was in danger");
    let dir = Path::new("/sim/backups/2");
    assert_eq!(crate::check::check_with(dir, &(Arc::new(disk.clone()) as Arc<dyn Disk>), None).unwrap(), []);
    let copy = Store::open_simulated(&StoreConfig::at(dir), &disk, Arc::default(), &SimMeta::new()).unwrap();
    assert_eq!(ids(&copy), (280..420).collect::<Vec<_>>());
}

#[test]
fn an_interrupted_restore_is_no_database() {
    let (disk, meta) = (SimDisk::new(), SimMeta::new());
    let config = StoreConfig::at("/sim/data");
    let store = Store::open_simulated(&config, &disk, Arc::<SimClock>::default(), &meta).unwrap();
    let commit = |build: &dyn Fn(&mut crate::Txn)| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        build(&mut txn);
        drop(store.commit(txn));
        store.step_commit();
    };
    commit(&|txn| txn.ddl(kit::table(TABLE)).unwrap());
    commit(&|txn| txn.append(TABLE, kit::rows(0..2_000)).unwrap());
    commit(&|txn| txn.put(Space::Kv, b"blob", &vec![3; 100_000]).unwrap());
    store.backup(Path::new("/sim/b")).unwrap();
    drop(store);
    let (backup, target) = (Path::new("/sim/b"), Path::new("/sim/new"));
    let mut random = SimRandom::new(1);
    let (mut refused, mut whole) = (0, 0);
    for call in 1.. {
        let disk = disk.fork();
        disk.crash_after(call);
        let outcome = restore(backup, target, &(Arc::new(disk.clone()) as Arc<dyn Disk>));
        assert_eq!(outcome.is_err(), disk.crashed(), "call {call}");
        disk.crash(&mut random);
        let dirs = ["parts", "blobs", "ckpt"].map(|name| target.join(name));
        let begun = disk.files().iter().any(|path| dirs.iter().any(|dir| path.starts_with(dir)));
        match Store::open_simulated(&StoreConfig::at(target), &disk, Arc::default(), &SimMeta::new()) {
            Err(error) => {
                assert_eq!(error.sqlstate, "XX001", "call {call}: {error}");
                refused += 1;
            }
            Ok(copy) if begun => {
                assert_eq!(kit::read(&copy).len(), 2_000, "call {call}");
                assert!(copy.snapshot().get(Space::Kv, b"blob").unwrap().read().is_ok());
                whole += 1;
            }
            Ok(copy) => assert_eq!(copy.snapshot().seq(), 0, "call {call}"),
        }
        if outcome.is_ok() {
            break;
        }
    }
    assert!(refused > 10 && whole > 2, "{refused} {whole}");
}

#[test]
fn nothing_is_overwritten_and_damage_is_not_restored() {
    let root = tempfile::tempdir().unwrap();
    let store = filled(&root.path().join("data"));
    let target = root.path().join("b");
    store.backup(&target).unwrap();
    let error = store.backup(&target).unwrap_err();
    assert_eq!(error.sqlstate, "58P02");
    assert_eq!(error.message, format!("directory \"{}\" exists but is not empty", target.display()));
    let busy = root.path().join("busy");
    std::fs::create_dir(&busy).unwrap();
    std::fs::write(busy.join("mine"), "x").unwrap();
    assert_eq!(store.backup(&busy).unwrap_err().sqlstate, "58P02");
    assert_eq!(restore(&target, &busy, &disk()).unwrap_err().sqlstate, "58P02");
    assert_eq!(std::fs::read_dir(&busy).unwrap().count(), 1);
    let part = inodes(&target).into_keys().find(|path| path.extension().is_some_and(|e| e == "arrow")).unwrap();
    // A copy of the file, or the live one would be damaged too.
    let bytes = std::fs::read(target.join(&part)).unwrap();
    std::fs::remove_file(target.join(&part)).unwrap();
    let mut damaged = bytes;
    damaged[1_000] ^= 1;
    std::fs::write(target.join(&part), damaged).unwrap();
    let error = restore(&target, &root.path().join("new"), &disk()).unwrap_err();
    assert_eq!(error.sqlstate, "XX001");
    assert!(!root.path().join("new").exists());
    assert_eq!(ids(&store).len(), 4_998);
}

#[test]
fn a_backup_that_meets_a_full_disk_leaves_nothing_and_harms_nobody() {
    let (disk, meta) = (SimDisk::new(), SimMeta::new());
    let config = StoreConfig::at("/sim/data");
    let store = Store::open_simulated(&config, &disk, Arc::<SimClock>::default(), &meta).unwrap();
    for (number, ids) in [(0, 0..0), (1, 0..3_000)] {
        let mut txn = store.begin(Isolation::ReadCommitted);
        match number {
            0 => txn.ddl(kit::table(TABLE)).unwrap(),
            _ => txn.append(TABLE, kit::rows(ids)).unwrap(),
        }
        drop(store.commit(txn));
        store.step_commit();
    }
    store.checkpoint().unwrap();
    disk.refuse_links(true);
    let before = disk.files();
    for budget in [0, 100, 20_000, 60_000] {
        disk.limit(Some(budget));
        let error = crate::backup::backup(store.shared(), Path::new("/sim/b")).unwrap_err();
        assert_eq!(error.sqlstate, "53100", "{budget}: {error}");
        assert_eq!(disk.files(), before, "{budget}");
        disk.limit(None);
    }
    store.backup(Path::new("/sim/b")).unwrap();
    assert_eq!(kit::read(&store).len(), 3_000);
}
