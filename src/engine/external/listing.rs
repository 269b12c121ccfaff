//! The files of an external table, found anew for each scan.
//!
//! A location is one file, a directory (with those below it; hidden files, and those whose names do not end as the format's
//! do, are left out) or a pattern of `*` and `?` in the last name. Every file is held against the allowed directories by
//! itself, because a directory may hold links. Limit: 100,000 files, 16 directories deep (54000).

use std::fs;
use std::io;
use std::path::Path;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::Definition;
use crate::engine::files::{self, Allowed, Facts, Place, cannot};

const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 16;

/// A file, and what it looked like when the scan began.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) facts: Facts,
}

impl Found {
    pub(super) fn size(&self) -> u64 {
        self.facts.size
    }
}

/// All files, by path. 58P01 if the location names one that is not there.
pub(super) fn files(definition: &Definition, allowed: &Allowed) -> PgResult<Vec<Found>> {
    let place = definition.check_place(allowed)?;
    let mut paths = Vec::new();
    if let Some((directory, pattern)) = definition.pattern() {
        let named = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| !name.starts_with('.') && matches(pattern.as_bytes(), name.as_bytes()))
        };
        walk(directory, &place.path(), 0, &named, &mut paths)?;
    } else if place.path().is_dir() {
        let directory = definition.location.trim_end_matches('/');
        walk(directory, &place.path(), DEPTH_MAX, &|path| definition.takes(path), &mut paths)?;
    } else {
        return found(place).map(|file| vec![file]);
    }
    paths.sort();
    paths.iter().map(|path| found(files::place(path, allowed)?)).collect()
}

fn found(place: Place) -> PgResult<Found> {
    let file = files::open(&place)?;
    Ok(Found { facts: file.facts, place })
}

/// Collects files below a directory, under the name the statement gave it; `deeper` levels of directories are entered.
fn walk(
    shown: &str,
    directory: &Path,
    deeper: usize,
    wanted: &dyn Fn(&Path) -> bool,
    paths: &mut Vec<String>,
) -> PgResult<()> {
    let failed = |error: io::Error| cannot(&format!("could not open directory \"{shown}\""), &error, "");
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            // Left out in silence its rows would be missing.
            let message = format!("directory \"{shown}\" has a file whose name is not valid UTF-8");
            return Err(PgError::new(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, message));
        };
        let path = format!("{shown}/{name}");
        // Links to directories are not entered: they could lead in a circle.
        if entry.file_type().map_err(failed)?.is_dir() {
            if deeper > 0 && !name.starts_with(['.', '_']) {
                walk(&path, &entry.path(), deeper - 1, wanted, paths)?;
            }
            continue;
        }
        if wanted(&entry.path()) {
            if paths.len() >= FILES_MAX {
                let message = format!("directory \"{shown}\" has more than {FILES_MAX} files");
                return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
            }
            paths.push(path);
        }
    }
    Ok(())
}

/// `*` is any text, `?` one byte. Goes back to the last star only, so it takes time with the product of the lengths at most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    (at, from) = (*star_at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => slowly(rest, name) || !name.is_empty() && slowly(pattern, &name[1..]),
            (Some((byte, rest)), Some((first, others))) => (*byte == b'?' || byte == first) && slowly(rest, others),
            _ => false,
        }
    }

    #[test]
    fn patterns_match_as_their_slow_twin() {
        let words = ["", "a", "b", "ab", "aab", "abab", "ba", "bbb", "abba"];
        let letters = ["", "a", "b", "*", "?"];
        for one in letters {
            for two in letters {
                for three in letters {
                    for four in letters {
                        let pattern = [one, two, three, four].concat();
                        for word in words {
                            let expected = slowly(pattern.as_bytes(), word.as_bytes());
                            assert_eq!(matches(pattern.as_bytes(), word.as_bytes()), expected, "{pattern} {word}");
                        }
                    }
                }
            }
        }
    }
}
