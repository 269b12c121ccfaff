//! The life of a directory: create, write, flush, checkpoint, reopen.

use super::kit::*;
use crate::{Isolation, Space, Txn};

fn send_and_sync<T: Send + Sync>() {}

#[test]
fn handles_can_be_shared() {
    send_and_sync::<crate::Store>();
    send_and_sync::<crate::Snapshot>();
    send_and_sync::<Txn>();
    send_and_sync::<crate::Ticket>();
}

#[test]
fn rows_survive_every_way_of_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    insert(&store, 0..10);
    insert(&store, 10..20);
    delete(&store, &[3, 11]).unwrap();
    let expected: Vec<i64> = (0..20).filter(|id| ![3, 11].contains(id)).collect();
    assert_eq!(ids(&store), expected);
    drop(store);

    let store = open(dir.path()).unwrap();
    assert_eq!(ids(&store), expected, "after a stop without checkpoint");
    store.flush(TABLE).unwrap();
    assert_eq!(ids(&store), expected, "after a flush");
    assert!(store.snapshot().table(TABLE).unwrap().sources().iter().all(|source| source.is_part()));
    delete(&store, &[4]).unwrap();
    insert(&store, 20..25);
    drop(store);

    let store = open(dir.path()).unwrap();
    let expected: Vec<i64> = (0..25).filter(|id| ![3, 4, 11].contains(id)).collect();
    assert_eq!(ids(&store), expected, "after a stop behind a flush");
    let seq = store.checkpoint().unwrap();
    assert_eq!(seq, store.snapshot().seq());
    insert(&store, 25..27);
    store.close().unwrap();

    let store = open(dir.path()).unwrap();
    let expected: Vec<i64> = (0..27).filter(|id| ![3, 4, 11].contains(id)).collect();
    assert_eq!(ids(&store), expected, "after a clean stop");
    assert_eq!(store.snapshot().table(TABLE).unwrap().live_rows(), 24);
}

#[test]
fn keyed_values_and_big_ones_survive() {
    let dir = tempfile::tempdir().unwrap();
    let big = vec![7; 100_000];
    let store = open(dir.path()).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.put(Space::Kv, b"role/a", b"1").unwrap();
    txn.put(Space::Kv, b"role/b", &big).unwrap();
    txn.put(Space::Token, b"batch-42", b"t").unwrap();
    let seq = store.commit(txn).wait().unwrap();
    for _ in 0..2 {
        let snapshot = store.snapshot();
        let found: Vec<_> = snapshot.scan(Space::Kv, b"role/").map(|(key, _)| key.to_vec()).collect();
        assert_eq!(found, [b"role/a".to_vec(), b"role/b".to_vec()]);
        assert_eq!(snapshot.get(Space::Kv, b"role/b").unwrap().read().unwrap(), big);
        assert_eq!(snapshot.get(Space::Token, b"batch-42").unwrap().version(), seq);
    }
    store.checkpoint().unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    let value = store.snapshot().get(Space::Kv, b"role/b").unwrap();
    assert_eq!((value.read().unwrap().to_vec(), value.version()), (big, seq));
}
