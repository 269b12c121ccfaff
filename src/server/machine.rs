//! How much memory this process may use: that of the machine, or of its control group where that is less.
//!
//! Read from /proc and /sys once at start. What cannot be read counts as no limit; a machine that says nothing at all is
//! taken for a small one.

use std::path::Path;

/// Taken when nothing can be found out.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// Memory of the machine or the control group, in bytes.
pub(super) fn memory_bytes() -> u64 {
    memory_below(Path::new("/"))
}

fn memory_below(root: &Path) -> u64 {
    let machine = std::fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total(&text));
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| limit(root, line));
    machine.into_iter().chain(limits).min().unwrap_or(UNKNOWN_BYTES)
}

/// `MemTotal:  16384 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// The least limit of a group and those above it. A line is `0::/path` in version 2, `7:memory:/path` in version 1;
/// inside a container the path may name nothing, but its root always does.
fn limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (base, file) = match (number, controllers) {
        ("0", "") => (root.join("sys/fs/cgroup"), "memory.max"),
        (_, controllers) if controllers.split(',').any(|name| name == "memory") => {
            (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    let read = |group: &Path| std::fs::read_to_string(base.join(group).join(file)).ok()?.trim().parse().ok();
    groups.filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_machine_and_control_groups_counts() {
        let mem = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
        let gib = |n: u64| n << 30;
        let cases: [(&[(&str, &str)], u64); 7] = [
            (&[], UNKNOWN_BYTES),
            (&[mem], gib(16)),
            (&[mem, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n")], gib(16)),
            (
                &[
                    mem,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/memory.max", "4294967296\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "8589934592\n"),
                ],
                gib(4),
            ),
            (&[mem, ("proc/self/cgroup", "0::/gone\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")], gib(1)),
            (
                &[
                    mem,
                    ("proc/self/cgroup", "9:cpu:/x\n7:memory,hugetlb:/x\n"),
                    ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2147483648\n"),
                ],
                gib(2),
            ),
            (&[("proc/meminfo", "nonsense"), ("proc/self/cgroup", "nonsense")], UNKNOWN_BYTES),
        ];
        for (files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            assert_eq!(memory_below(root.path()), expected, "{files:?}");
        }
    }
}
