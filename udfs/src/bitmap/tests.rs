//! The bitmap code against its slow twin, a BTreeSet, and against the `roaring` crate.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::combine::{Buffers, Operand, Operation, Range, and_cardinality, combine, contains_all, intersects};
use super::format::{View, validate};
use super::text::{canonical, format_array, from_elements, parse};
use super::types::{VALUE_BYTES_MAX, Width};
use super::writer::{Counter, Writer};

pub(super) fn bytes_of(set: &BTreeSet<u64>, width: Width) -> Vec<u8> {
    from_elements(&mut set.iter().copied().collect(), width).unwrap()
}

fn set_of(bytes: &[u8], width: Width) -> BTreeSet<u64> {
    let mut set = BTreeSet::new();
    validate(bytes, width).unwrap().for_each(|value| {
        assert!(set.insert(value));
    });
    set
}

/// Sets with sparse values, dense stretches and runs, around a few container borders.
pub(super) fn sets(width: Width) -> impl Strategy<Value = BTreeSet<u64>> {
    let bases: Vec<u64> = match width {
        Width::W32 => vec![0, 65_536, 3 << 16, 0x7fff_0000, 0xffff_0000],
        Width::W64 => vec![0, 65_536, 3 << 16, 0xffff_0000, 1 << 32, (1 << 40) + (5 << 16), u64::MAX - 65_535],
    };
    let piece = (0..bases.len(), 0u64..65_536, 0u64..9000, 1u64..40).prop_map(move |(base, from, length, step)| {
        let first = bases[base] + from;
        let last = first.saturating_add(length).min(width.max());
        let step = if step > 20 { 1 } else { step };
        (first..=last).step_by(step as usize).collect::<Vec<u64>>()
    });
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.into_iter().flatten().collect())
}

fn run(operation: Operation, operands: &[Operand<'_>], width: Width) -> (Vec<u8>, u64) {
    let (mut writer, mut counter, mut out) = (Writer::new(width, VALUE_BYTES_MAX), Counter::default(), Vec::new());
    let mut buffers = Buffers::default();
    combine(operation, operands, &mut buffers, &mut writer).unwrap();
    combine(operation, operands, &mut buffers, &mut counter).unwrap();
    writer.finish(&mut out);
    (out, counter.count)
}

fn twin(operation: Operation, sets: &[&BTreeSet<u64>]) -> BTreeSet<u64> {
    let mut result = sets[0].clone();
    for set in &sets[1..] {
        result = match operation {
            Operation::And => &result & set,
            Operation::Or => &result | set,
            Operation::Xor => &result ^ set,
            Operation::AndNot => &result - set,
        };
    }
    result
}

const OPERATIONS: [Operation; 4] = [Operation::And, Operation::Or, Operation::Xor, Operation::AndNot];

fn check_combine(a: &BTreeSet<u64>, b: &BTreeSet<u64>, c: &BTreeSet<u64>, width: Width) {
    let bytes = [a, b, c].map(|set| bytes_of(set, width));
    let opened = [0, 1, 2].map(|i| View::open(&bytes[i], width).unwrap());
    let views = [0, 1, 2].map(|i| Operand::View(&opened[i]));
    for operation in OPERATIONS {
        for count in 1..=3 {
            let expected = twin(operation, &[a, b, c][..count]);
            let (result, cardinality) = run(operation, &views[..count], width);
            assert_eq!(result, bytes_of(&expected, width), "{operation:?} of {count}");
            assert_eq!(cardinality, expected.len() as u64, "{operation:?} of {count}");
        }
    }
    let [left, right, _] = &opened;
    assert_eq!(and_cardinality(left, right), (a & b).len() as u64);
    assert_eq!(intersects(left, right), !a.is_disjoint(b));
    assert_eq!(contains_all(left, right), b.is_subset(a));
}

fn check_view(set: &BTreeSet<u64>, probes: &[u64], width: Width) {
    let bytes = bytes_of(set, width);
    let view = validate(&bytes, width).unwrap();
    assert_eq!(&set_of(&bytes, width), set);
    assert_eq!(canonical(&bytes, width).unwrap(), bytes, "canonical is a fixed point");
    assert_eq!(view.cardinality(), set.len() as u64);
    assert_eq!(view.is_empty(), set.is_empty());
    assert_eq!(view.min(), set.first().copied());
    assert_eq!(view.max(), set.last().copied());
    let values: Vec<u64> = set.iter().copied().collect();
    for probe in probes.iter().copied().chain(values.iter().step_by(97).copied()) {
        let probe = probe.min(width.max());
        assert_eq!(view.contains(probe), set.contains(&probe), "contains {probe}");
        assert_eq!(view.rank(probe), set.range(..=probe).count() as u64, "rank {probe}");
        let position = probe % (values.len() as u64 + 1);
        assert_eq!(view.select(position), values.get(position as usize).copied(), "select {position}");
    }
    if set.len() < 2000 {
        assert_eq!(parse(&format_array(&view, width), width).unwrap(), bytes, "text and back");
    }
}

fn check_range(set: &BTreeSet<u64>, first: u64, length: u64, width: Width) {
    let first = first.min(width.max());
    let last = first.saturating_add(length).min(width.max());
    let bytes = bytes_of(set, width);
    let view = View::open(&bytes, width).unwrap();
    let operands = [Operand::View(&view), Operand::Range(Range::new(first, last))];
    let range: BTreeSet<u64> = (first..=last).collect();
    for operation in OPERATIONS {
        let expected = twin(operation, &[set, &range]);
        assert_eq!(run(operation, &operands, width).0, bytes_of(&expected, width), "{operation:?} {first}..={last}");
    }
}

/// The same set in another encoding: every container as a bitset, array or run, whatever is legal.
fn loosened(set: &BTreeSet<u64>) -> Vec<u8> {
    let mut bitmap = roaring::RoaringBitmap::from_sorted_iter(set.iter().map(|v| *v as u32)).unwrap();
    bitmap.optimize();
    let mut bytes = Vec::new();
    bitmap.serialize_into(&mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn combining_agrees_with_btree_sets(a in sets(Width::W32), b in sets(Width::W32), c in sets(Width::W32)) {
        check_combine(&a, &b, &c, Width::W32);
    }

    #[test]
    fn combining_64_agrees_with_btree_sets(a in sets(Width::W64), b in sets(Width::W64), c in sets(Width::W64)) {
        check_combine(&a, &b, &c, Width::W64);
    }

    #[test]
    fn views_agree_with_btree_sets(a in sets(Width::W32), b in sets(Width::W64), probes in prop::collection::vec(any::<u64>(), 8)) {
        check_view(&a, &probes, Width::W32);
        check_view(&b, &probes, Width::W64);
    }

    #[test]
    fn ranges_agree_with_btree_sets(a in sets(Width::W32), b in sets(Width::W64), first in 0u64..400_000, length in 0u64..100_000) {
        check_range(&a, first, length, Width::W32);
        check_range(&a, u64::MAX - first, length, Width::W32);
        check_range(&b, first, length, Width::W64);
        check_range(&b, u64::MAX - first, length, Width::W64);
    }

    #[test]
    fn canonical_bytes_do_not_depend_on_the_writer(set in sets(Width::W32)) {
        let bytes = bytes_of(&set, Width::W32);
        prop_assert_eq!(canonical(&loosened(&set), Width::W32).unwrap(), bytes.clone());
        let read = roaring::RoaringBitmap::deserialize_from(bytes.as_slice()).unwrap();
        prop_assert!(read.iter().map(u64::from).eq(set.iter().copied()));
    }

    #[test]
    fn damaged_bytes_never_panic(set in sets(Width::W32), at in any::<usize>(), value in any::<u8>(), cut in any::<usize>()) {
        for width in [Width::W32, Width::W64] {
            let mut bytes = bytes_of(&set, width);
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut % (2 * bytes.len()));
            if let Ok(view) = validate(&bytes, width) {
                let mut count = 0;
                view.for_each(|_| count += 1);
                prop_assert_eq!(count, view.cardinality());
            }
            // Opened without validation: wrong answers are allowed, panics are not.
            if let Ok(view) = View::open(&bytes, width) {
                let other = bytes_of(&set, width);
                let other = View::open(&other, width).unwrap();
                let operands = [Operand::View(&view), Operand::View(&other)];
                for operation in OPERATIONS {
                    run(operation, &operands, width);
                }
                assert!(view.rank(70_000) <= u64::MAX / 2);
                for answer in [view.min(), view.max(), view.select(5)].into_iter().flatten() {
                    view.contains(answer);
                }
            }
        }
    }
}

/// Equal sizes are the trap: `roaring` leaves a run container there, the canonical form is the array.
#[test]
fn a_run_of_equal_size_becomes_an_array() {
    let set: BTreeSet<u64> = [1, 2, 3].into();
    assert_eq!(2 + 4, 2 * set.len());
    let bytes = canonical(&loosened(&set), Width::W32).unwrap();
    assert_eq!(bytes[..4], 12346u32.to_le_bytes());
    assert_eq!(bytes, bytes_of(&set, Width::W32));
}
