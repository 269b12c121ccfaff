//! The keys of some rows, sorted by hash, with a Bloom filter before them: the KEY section of an `.idx` file.
//!
//! For: finding the rows that may have a key, in a part on disk and in a batch of the delta alike. Layout: version,
//! count, Bloom blocks; then the blocks (32 bytes each, 10 bits a key), the hashes ascending (8 bytes each), and their
//! rows (4 bytes each). Promises: every row that was put in under a hash is found under it, in row order; a
//! lookup of an absent key reads one block. Does not: know keys; equal hashes say nothing about equal keys.

use bytes::Bytes;

use crate::codec::{Put, Reader};
use crate::error::{Result, StoreError};

const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_BYTES: usize = 32;
/// Bits of the Bloom filter per key: one absent key in a hundred passes.
const BITS_PER_KEY: usize = 10;
/// One bit of each word of a block is set, chosen by the low half of the hash times a salt.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
/// Guesses before the search falls back on halving: hashes are spread evenly unless a test forces collisions.
const GUESSES_MAX: usize = 8;

/// Makes the section of (hash, row) pairs.
pub(crate) fn encode(mut pairs: Vec<(u64, u32)>) -> Vec<u8> {
    pairs.sort_unstable();
    let blocks = (pairs.len() * BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8);
    let mut bloom = vec![0u32; blocks * 8];
    for (hash, _) in &pairs {
        let block = block_of(*hash, blocks) * 8;
        for (word, salt) in bloom[block..block + 8].iter_mut().zip(SALTS) {
            *word |= bit_of(*hash, salt);
        }
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + blocks * BLOCK_BYTES + pairs.len() * 12);
    out.put_u32(VERSION);
    out.put_u64(pairs.len() as u64);
    out.put_u32(u32::try_from(blocks).expect("a part has fewer than 2^32 rows"));
    bloom.iter().for_each(|word| out.put_u32(*word));
    pairs.iter().for_each(|(hash, _)| out.put_u64(*hash));
    pairs.iter().for_each(|(_, row)| out.put_u32(*row));
    out
}

fn block_of(hash: u64, blocks: usize) -> usize {
    // The high half, scaled to the number of blocks: always below it.
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

fn bit_of(hash: u64, salt: u32) -> u32 {
    1 << ((hash as u32).wrapping_mul(salt) >> 27)
}

/// A section, ready to be searched.
#[derive(Debug, Clone)]
pub(crate) struct KeySection {
    bytes: Bytes,
    count: usize,
    blocks: usize,
}

impl KeySection {
    /// Checks the lengths; the caller has checked the checksum.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self> {
        let mut reader = Reader::new(&bytes);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(StoreError::damaged(format!("key section has unknown version {version}")));
        }
        let (count, blocks) = (reader.u64()?, reader.u32()? as usize);
        let count = usize::try_from(count).ok().filter(|count| u32::try_from(*count).is_ok());
        let wrong = || StoreError::damaged("key section has a wrong length");
        let count = count.ok_or_else(wrong)?;
        if blocks != (count * BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8)
            || bytes.len() != HEADER_BYTES + blocks * BLOCK_BYTES + count * 12
        {
            return Err(wrong());
        }
        Ok(Self { bytes, count, blocks })
    }

    /// A section in memory.
    pub(crate) fn of(pairs: Vec<(u64, u32)>) -> Result<Self> {
        Self::parse(Bytes::from(encode(pairs)))
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    pub(crate) fn hash(&self, index: usize) -> u64 {
        let at = HEADER_BYTES + self.blocks * BLOCK_BYTES + index * 8;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    pub(crate) fn row(&self, index: usize) -> u32 {
        self.u32_at(HEADER_BYTES + self.blocks * BLOCK_BYTES + self.count * 8 + index * 4)
    }

    /// False only if no key has this hash.
    fn may_contain(&self, hash: u64) -> bool {
        if self.blocks == 0 {
            return false;
        }
        let at = HEADER_BYTES + block_of(hash, self.blocks) * BLOCK_BYTES;
        let block: &[u8; BLOCK_BYTES] = self.bytes[at..at + BLOCK_BYTES].try_into().expect("a whole block");
        SALTS.iter().enumerate().all(|(word, salt)| {
            let bytes = [block[word * 4], block[word * 4 + 1], block[word * 4 + 2], block[word * 4 + 3]];
            u32::from_le_bytes(bytes) & bit_of(hash, *salt) != 0
        })
    }

    /// Rows of the keys with this hash, ascending.
    pub(crate) fn rows(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let first = if self.may_contain(hash) { self.lower_bound(hash) } else { self.count };
        (first..self.count).take_while(move |index| self.hash(*index) == hash).map(|index| self.row(index))
    }

    /// The first index whose hash is not below this one. Interpolates, because hashes are spread evenly.
    fn lower_bound(&self, hash: u64) -> usize {
        // Hashes before `from` are below, those from `to` on are not.
        let (mut from, mut to) = (0, self.count);
        let (mut low, mut high) = (0u64, u64::MAX);
        for _ in 0..GUESSES_MAX {
            if to - from < 16 {
                break;
            }
            let share = u128::from(hash - low) * (to - from) as u128 / (u128::from(high - low) + 1);
            let guess = from + usize::try_from(share).unwrap_or(0).min(to - from - 1);
            let found = self.hash(guess);
            if found < hash {
                (from, low) = (guess + 1, found);
            } else {
                (to, high) = (guess, found);
            }
        }
        while from < to {
            let middle = from + (to - from) / 2;
            if self.hash(middle) < hash {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimRandom;

    #[test]
    fn lookups_equal_a_scan_of_the_pairs() {
        for (seed, limit) in [(1, u64::MAX), (2, 3), (3, 500), (4, 1 << 40)] {
            let mut random = SimRandom::new(seed);
            for count in [0, 1, 2, 15, 16, 17, 300, 5_000] {
                let pairs: Vec<(u64, u32)> =
                    (0..count).map(|row| (random.below(limit).wrapping_mul(u64::MAX / limit), row)).collect();
                let section = KeySection::of(pairs.clone()).unwrap();
                assert_eq!(section.len(), pairs.len());
                let mut wanted: Vec<u64> = pairs.iter().map(|(hash, _)| *hash).collect();
                wanted.extend([0, 1, u64::MAX, random.below(u64::MAX)]);
                for hash in wanted {
                    let expected: Vec<u32> = pairs.iter().filter(|(h, _)| *h == hash).map(|(_, row)| *row).collect();
                    assert_eq!(section.rows(hash).collect::<Vec<_>>(), expected, "{count} pairs below {limit}");
                }
            }
        }
    }

    #[test]
    fn most_absent_keys_stop_at_the_filter() {
        let mut random = SimRandom::new(7);
        let section = KeySection::of((0..10_000).map(|row| (random.below(u64::MAX), row)).collect()).unwrap();
        let passed = (0..10_000).filter(|_| section.may_contain(random.below(u64::MAX))).count();
        assert!(passed < 300, "{passed} of 10,000 absent keys passed");
    }

    #[test]
    fn no_shortened_section_parses() {
        let bytes = Bytes::from(encode(vec![(1, 2), (3, 4)]));
        assert!(KeySection::parse(bytes.clone()).is_ok());
        for len in 0..bytes.len() {
            assert!(KeySection::parse(bytes.slice(..len)).is_err(), "cut to {len}");
        }
    }
}
