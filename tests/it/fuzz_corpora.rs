//! The corpora of the fuzz targets that read bytes of clients, replayed on stable, with mutations from a seed on top.
//!
//! `tests/fuzz/corpus/NAME/*` holds one input a file. Every file must be read or refused without a panic, and so must some
//! hundred variants of it. A file that once broke something is added by hand and stays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tributary::wire::fuzz::TARGETS;

/// Variants of each file.
const MUTATIONS: u32 = 300;

/// What fuzzers do to an input.
fn mutated(random: &mut StdRng, input: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..random.random_range(1..5) {
        if out.is_empty() {
            break;
        }
        let at = random.random_range(0..out.len());
        match random.random_range(0..6) {
            0 => out[at] ^= 1 << random.random_range(0..8),
            1 => out[at] = random.random(),
            2 => {
                let extremes = [0, 1, 0x7f, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
                let number = extremes[random.random_range(0..8)].to_be_bytes();
                let length = 4.min(out.len() - at);
                out[at..at + length].copy_from_slice(&number[..length]);
            }
            3 => out.truncate(at),
            4 => {
                let piece = out[at..(at + 40).min(out.len())].to_vec();
                let to = random.random_range(0..out.len());
                out.splice(to..to, piece);
            }
            _ => {
                let end = (at + random.random_range(0..40)).min(out.len());
                out.drain(at..end);
            }
        }
    }
    out
}

#[test]
fn every_corpus_is_read_or_refused() {
    let mut inputs = 0;
    for (name, run) in TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let files = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("corpus {name}: {error}"));
        let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "corpus {name} is empty");
        for path in files {
            let input = std::fs::read(&path).expect("readable");
            let mut random = StdRng::seed_from_u64(20_250_501);
            for number in 0..=MUTATIONS {
                let bytes = if number == 0 { input.clone() } else { mutated(&mut random, &input) };
                inputs += 1;
                let outcome = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
                assert!(outcome.is_ok(), "{name}: variant {number} of {} panics: {bytes:?}", path.display());
            }
        }
    }
    println!("{inputs} inputs read or refused");
}
