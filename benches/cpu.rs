//! Processor time of this process: on a machine that others use too, wall time measures them.

use std::time::Duration;

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time of all threads.
    pub cpu: Duration,
}

/// Processor time of all threads so far, from the scheduler's own counts.
fn cpu_time() -> Duration {
    // The scheduler counts when a thread gives way; without this a reading may be some milliseconds old.
    std::thread::yield_now();
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists the threads of a process");
    let nanoseconds = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Runs `work` several times and gives the cheapest run.
pub fn cheapest(times: usize, mut work: impl FnMut()) -> Cost {
    let one = |work: &mut dyn FnMut()| {
        let cpu = cpu_time();
        work();
        Cost { cpu: cpu_time().saturating_sub(cpu) }
    };
    (0..times).map(|_| one(&mut work)).min_by_key(|cost| cost.cpu).expect("at least one run")
}
