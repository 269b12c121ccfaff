//! Changes of one bitmap that are no set operation: shifting, selecting by position, changing the width.

use super::container::Words;
use super::format::View;
use super::types::{Width, out_of_range};
use super::writer::{Sink, Writer};
use crate::SqlError;

/// Adds `distance` to every value; those that leave the width drop.
pub fn shift(view: &View<'_>, distance: i64, writer: &mut Writer) -> Result<(), SqlError> {
    let keys_max = (writer.width().max() >> 16) as i64;
    let (key_distance, bit_distance) = (distance.div_euclid(65_536), distance.rem_euclid(65_536) as usize);
    let mut put = |key: i64, words: &Words| match (0..=keys_max).contains(&key) {
        true => writer.words(key as u64, words),
        false => Ok(()),
    };
    // A shifted container reaches into two keys; the upper part waits for the next container.
    let mut pending: Option<(i64, Box<Words>)> = None;
    let mut words: Words = [0; 1024];
    for entry in view.entries() {
        let key = entry.key as i64 + key_distance;
        words.fill(0);
        entry.container.or_into(&mut words);
        let (mut low, high) = shift_words(&words, bit_distance);
        if let Some((waiting, bits)) = pending.take() {
            if waiting == key {
                low.iter_mut().zip(bits.iter()).for_each(|(a, b)| *a |= b);
            } else {
                put(waiting, &bits)?;
            }
        }
        put(key, &low)?;
        pending = Some((key + 1, high));
    }
    match pending {
        Some((key, bits)) => put(key, &bits),
        None => Ok(()),
    }
}

/// The bits moved up by `distance` < 65,536: what stays and what overflows.
fn shift_words(words: &Words, distance: usize) -> (Box<Words>, Box<Words>) {
    let mut halves = [Box::new([0u64; 1024]), Box::new([0u64; 1024])];
    let (by_words, by_bits) = (distance / 64, distance % 64);
    for (index, word) in words.iter().enumerate() {
        let at = index + by_words;
        halves[at / 1024][at % 1024] |= word << by_bits;
        if by_bits > 0 {
            halves[(at + 1) / 1024 % 2][(at + 1) % 1024] |= word >> (64 - by_bits);
        }
    }
    let [low, high] = halves;
    (low, high)
}

/// First and last value of the selection: of the values in `range`, skip `offset` and take `limit`, from either end.
pub fn selected(
    view: &View<'_>,
    (first, last): (u64, u64),
    limit: u64,
    offset: u64,
    reverse: bool,
) -> Option<(u64, u64)> {
    let below = match first {
        0 => 0,
        _ => view.rank(first - 1),
    };
    let count = view.rank(last) - below;
    if limit == 0 || offset >= count {
        return None;
    }
    let taken = limit.min(count - offset);
    let start = if reverse { count - offset - taken } else { offset };
    Some((view.select(below + start)?, view.select(below + start + taken - 1)?))
}

/// Writes a bitmap of one width as the other: elements keep their signed value. 64 to 32: what does not fit `integer` is
/// 22003.
pub fn change_width(view: &View<'_>, writer: &mut Writer) -> Result<(), SqlError> {
    const SIGN_KEY: u64 = 0x8000;
    const NEGATIVE: u64 = 0xffff_ffff_0000;
    let to = writer.width();
    for entry in view.entries() {
        let key = match to {
            Width::W64 if entry.key >= SIGN_KEY => entry.key | NEGATIVE,
            Width::W64 => entry.key,
            Width::W32 if entry.key < SIGN_KEY => entry.key,
            Width::W32 if entry.key & NEGATIVE == NEGATIVE && entry.key & 0xffff >= SIGN_KEY => entry.key & 0xffff,
            Width::W32 => {
                let value = entry.key << 16 | u64::from(entry.container.min().unwrap_or(0));
                return Err(out_of_range(value as i64, to));
            }
        };
        writer.borrowed(key, entry.container, entry.cardinality)?;
    }
    Ok(())
}
