//! Counting kernels over 8 KiB bitsets, dispatched to the processor at run time.
//!
//! A baseline x86-64 build has no POPCNT instruction; the same loops compiled for AVX2 and POPCNT are several times
//! faster. Both bodies are one source, so they cannot disagree; a test compares them anyway.

use super::container::Words;

/// Number of set bits.
pub fn count(words: &[[u8; 8]; 1024]) -> u32 {
    dispatch(Job::Count(words)).0
}

/// Number of bits set in both.
pub fn and_count(a: &[[u8; 8]; 1024], b: &[[u8; 8]; 1024]) -> u32 {
    dispatch(Job::AndCount(a, b)).0
}

/// Number of set bits and of maximal runs of set bits.
pub fn count_and_runs(words: &Words) -> (u32, u32) {
    dispatch(Job::CountAndRuns(words))
}

#[derive(Clone, Copy)]
enum Job<'a> {
    Count(&'a [[u8; 8]; 1024]),
    AndCount(&'a [[u8; 8]; 1024], &'a [[u8; 8]; 1024]),
    CountAndRuns(&'a Words),
}

#[inline(always)]
fn run(job: Job<'_>) -> (u32, u32) {
    match job {
        Job::Count(words) => (words.iter().map(|w| u64::from_le_bytes(*w).count_ones()).sum(), 0),
        Job::AndCount(a, b) => {
            let common = |(a, b): (&[u8; 8], &[u8; 8])| (u64::from_le_bytes(*a) & u64::from_le_bytes(*b)).count_ones();
            (a.iter().zip(b).map(common).sum(), 0)
        }
        Job::CountAndRuns(words) => {
            // A run starts at every set bit whose predecessor is clear.
            let (mut count, mut runs, mut carry) = (0, 0, 0);
            for word in words {
                count += word.count_ones();
                runs += (word & !(word << 1 | carry)).count_ones();
                carry = word >> 63;
            }
            (count, runs)
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,avx2,bmi1,bmi2")]
fn run_avx2(job: Job<'_>) -> (u32, u32) {
    run(job)
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calling a function compiled for detected processor features")]
fn dispatch(job: Job<'_>) -> (u32, u32) {
    let features = [
        is_x86_feature_detected!("popcnt"),
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("bmi1"),
        is_x86_feature_detected!("bmi2"),
    ];
    if features == [true; 4] {
        // Safety: the processor has every feature the function was compiled for.
        return unsafe { run_avx2(job) };
    }
    run(job)
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch(job: Job<'_>) -> (u32, u32) {
    run(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatched_kernels_agree_with_the_plain_loop() {
        let mut seed = 7u64;
        for density in 0..5 {
            let mut words = [0u64; 1024];
            for word in &mut words {
                *word = u64::MAX;
                for _ in 0..density {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    *word &= seed ^ (seed >> 29);
                }
            }
            let bytes = words.map(u64::to_le_bytes);
            let mut other = bytes;
            other.reverse();
            assert_eq!(count(&bytes), run(Job::Count(&bytes)).0);
            assert_eq!(and_count(&bytes, &other), run(Job::AndCount(&bytes, &other)).0);
            assert_eq!(count_and_runs(&words), run(Job::CountAndRuns(&words)));
            let values: Vec<usize> = (0..65_536).filter(|v| words[v / 64] >> (v % 64) & 1 == 1).collect();
            let starts = values.iter().enumerate().filter(|(i, v)| *i == 0 || values[i - 1] + 1 != **v).count();
            assert_eq!(count_and_runs(&words), (values.len() as u32, starts as u32));
        }
    }
}
