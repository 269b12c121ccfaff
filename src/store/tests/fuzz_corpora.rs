//! The corpora of the fuzz targets, replayed on stable, with mutations from a seed on top.
//!
//! `tests/fuzz/corpus/NAME/*` holds one input a file. Every file must be decoded or refused without a panic, and so must
//! some hundred variants of it: bits flipped, lengths set to extremes, pieces cut, doubled and moved. The files were made
//! by the ignored test below; a file that once broke something is added by hand and stays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::kit::{self, TABLE};
use crate::fuzz::TARGETS;
use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom};
use crate::{Isolation, Space, Store, StoreConfig};

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target)
}

/// What fuzzers do to an input.
fn mutated(random: &mut SimRandom, input: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(4) {
        if out.is_empty() {
            break;
        }
        let at = random.below(out.len() as u64) as usize;
        match random.below(6) {
            0 => out[at] ^= 1 << random.below(8),
            1 => out[at] = random.bits().to_le_bytes()[0],
            2 => {
                let extremes = [0, 1, 0x7F, 0x7FFF_FFFF, 0x8000_0000, u64::from(u32::MAX), i64::MAX as u64, u64::MAX];
                let number = extremes[random.below(8) as usize].to_le_bytes();
                let len = [4, 8][random.below(2) as usize].min(out.len() - at);
                out[at..at + len].copy_from_slice(&number[..len]);
            }
            3 => out.truncate(at),
            4 => {
                let piece = out[at..(at + 40).min(out.len())].to_vec();
                let to = random.below(out.len() as u64) as usize;
                out.splice(to..to, piece);
            }
            _ => {
                let end = (at + random.below(40) as usize).min(out.len());
                out.drain(at..end);
            }
        }
    }
    out
}

#[test]
fn every_corpus_is_decoded_or_refused() {
    let mutations = kit::campaign("CRASH_FUZZ_MUTATIONS", 150);
    let mut inputs = 0;
    for (name, run) in TARGETS {
        let files = std::fs::read_dir(corpus(name)).unwrap_or_else(|error| panic!("corpus {name}: {error}"));
        let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "corpus {name} is empty");
        for (number, file) in files.iter().enumerate() {
            let input = std::fs::read(file).unwrap();
            let mut random = SimRandom::new(number as u64);
            for mutation in 0..=mutations {
                let bytes = if mutation == 0 { input.clone() } else { mutated(&mut random, &input) };
                inputs += 1;
                if catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err() {
                    let kept = std::env::temp_dir().join(format!("{name}-{mutation}"));
                    std::fs::write(&kept, &bytes).unwrap();
                    panic!("{name}: {} with mutation {mutation} panics; see {}", file.display(), kept.display());
                }
            }
        }
    }
    println!("{inputs} inputs for {} decoders", TARGETS.len());
}

/// Every decoder of this crate has its fuzz target, and none of those that call it is left over.
#[test]
fn targets_and_decoders_are_the_same() {
    let dir = corpus("").join("../fuzz_targets");
    let mut found: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|target| std::fs::read_to_string(target).unwrap().contains("tributary_store"))
        .map(|target| target.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut expected: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected);
    let manifest = std::fs::read_to_string(corpus("").join("../Cargo.toml")).unwrap();
    assert!(expected.iter().all(|name| manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\""))));
}

/// A store with everything in it, as files.
fn files() -> SimDisk {
    let (disk, meta, clock) = (SimDisk::new(), SimMeta::new(), Arc::<SimClock>::default());
    let config =
        StoreConfig { wal_segment_bytes_first: 1 << 14, carry_table_bytes: 100, ..StoreConfig::at("/sim/data") };
    let store = Store::open_simulated(&config, &disk, clock, &meta).unwrap();
    let commit = |build: &dyn Fn(&mut crate::Txn)| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        build(&mut txn);
        let ticket = store.commit(txn);
        store.step_commit();
        ticket.try_wait().unwrap().unwrap();
    };
    commit(&|txn| txn.ddl(kit::table(TABLE)).unwrap());
    for round in 0..3 {
        commit(&|txn| txn.append(TABLE, kit::rows(round * 20..(round + 1) * 20)).unwrap());
        commit(&|txn| txn.put(Space::Kv, b"key", &[7; 300]).unwrap());
        store.flush(TABLE).unwrap();
        commit(&|txn| kit::delete_in(txn, &[round * 20 + 3]));
        store.checkpoint().unwrap();
    }
    commit(&|txn| txn.append(TABLE, kit::rows(100..105)).unwrap());
    commit(&|txn| txn.remove(Space::Kv, b"key").unwrap());
    disk
}

#[test]
#[ignore = "writes tests/fuzz/corpus anew"]
fn make_corpora() {
    let disk = files();
    let put = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus(target)).unwrap();
        std::fs::write(corpus(target).join(name), bytes).unwrap();
    };
    for (target, _) in TARGETS {
        put(target, "empty", &[]);
        put(target, "ones", &[0xFF; 64]);
    }
    let rows: roaring::RoaringBitmap = (0..5_000).chain([70_000, 1 << 31]).collect();
    put("delete_vector", "mixed", &crate::op::bitmap_bytes(&rows));
    put("delete_vector", "few", &crate::op::bitmap_bytes(&roaring::RoaringBitmap::from_iter([1, 2, 9])));
    for path in disk.files() {
        let bytes = disk.content(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.extension().map(|e| e.to_string_lossy()).as_deref() {
            Some("wal") => {
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(64, |last| (last + 9).min(bytes.len()));
                put("wal_segment", &name, &bytes[64.min(used)..used]);
                let number = u32::from_str_radix(&name[..16], 16).unwrap();
                frames(number, &bytes, &mut |seq, payload| put("wal_payload", &format!("commit-{seq}"), payload));
            }
            Some("idx") => {
                put("index", &name, &bytes);
                for (number, (kind, body)) in crate::index_file::bodies(&bytes).into_iter().enumerate() {
                    put("index_section", &format!("{name}-{number}"), &[&[kind], &body[..]].concat());
                }
            }
            Some("arrow") => put("part_footer", &name, &bytes[bytes.len().saturating_sub(700)..]),
            Some("base") => put("dump", &name, &bytes),
            Some("inc") => put("increment", &name, &bytes),
            _ => {}
        }
    }
}

/// Every payload in a segment, with a byte before it that says whether it is compressed.
fn frames(number: u32, bytes: &[u8], put: &mut dyn FnMut(u64, &[u8])) {
    let mut at = 64;
    while at < bytes.len() {
        let position = crate::frame::Position::new(number, u32::try_from(at).unwrap());
        let Some(frame) = crate::frame::decode_frame(&bytes[at..], position) else { return };
        put(frame.seq, &[&[u8::from(frame.compressed)], frame.payload].concat());
        at += crate::frame::frame_bytes(frame.payload.len());
    }
}
