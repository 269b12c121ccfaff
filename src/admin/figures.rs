//! What the floors below count and time, kept for `/metrics`.
//!
//! They report to the `metrics` facade; this is where it goes: counters, and histograms with fixed bounds. There is one set
//! of figures for the process, as the facade has it. Every figure is there from the start, so that a rule about one that
//! never moved can be written.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

const COUNTERS: [(&str, &str); 3] = [
    ("crc_failures_total", "Blocks of stored data whose checksum was wrong."),
    ("io_errors_total", "Groups of commits that the log could not take."),
    ("conflicts_total", "Commits refused because another one was faster."),
];

const HISTOGRAMS: [(&str, &str, &[f64]); 3] = [
    ("wal_sync_seconds", "Time to write and sync one group of commits.", SECONDS),
    ("commit_group_size", "Commits written together.", ROWS),
    ("compaction_seconds", "Time to merge parts of one table.", SECONDS),
];

static FIGURES: LazyLock<Figures> = LazyLock::new(|| Figures {
    counters: COUNTERS.map(|_| Arc::default()),
    histograms: HISTOGRAMS.map(|(_, _, bounds)| Arc::new(Timings::new(bounds))),
});

struct Figures {
    counters: [Arc<AtomicU64>; COUNTERS.len()],
    histograms: [Arc<Timings>; HISTOGRAMS.len()],
}

/// Begins to keep figures. A second call changes nothing.
pub(crate) fn keep() {
    if metrics::set_global_recorder(Keeper).is_err() {
        tracing::debug!("figures are kept already");
    }
}

/// Writes all of them.
pub(super) fn render(text: &mut String) {
    for ((name, help), value) in COUNTERS.iter().zip(&FIGURES.counters) {
        line(text, format_args!("# HELP tributary_{name} {help}\n# TYPE tributary_{name} counter"));
        line(text, format_args!("tributary_{name} {}", value.load(Ordering::Relaxed)));
    }
    for ((name, help, _), timings) in HISTOGRAMS.iter().zip(&FIGURES.histograms) {
        line(text, format_args!("# HELP tributary_{name} {help}\n# TYPE tributary_{name} histogram"));
        timings.render(name, text);
    }
}

/// Writes a counter that the store itself keeps.
pub(super) fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    line(
        text,
        format_args!("# HELP tributary_{name} {help}\n# TYPE tributary_{name} counter\ntributary_{name} {value}"),
    );
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("writing to a string cannot fail");
}

/// Values by bounds.
#[derive(Debug)]
struct Timings {
    bounds: &'static [f64],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Values up to each bound and above the one before.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Timings {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, state: Mutex::new(State { counts: vec![0; bounds.len()], ..State::default() }) }
    }

    fn render(&self, name: &str, text: &mut String) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&state.counts) {
            below += count;
            line(text, format_args!("tributary_{name}_bucket{{le=\"{bound}\"}} {below}"));
        }
        line(text, format_args!("tributary_{name}_bucket{{le=\"+Inf\"}} {}", state.count));
        line(text, format_args!("tributary_{name}_sum {}\ntributary_{name}_count {}", state.sum, state.count));
    }
}

impl HistogramFn for Timings {
    fn record(&self, value: f64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        state.sum += value;
        if let Some(place) = self.bounds.iter().position(|bound| value <= *bound) {
            state.counts[place] += 1;
        }
    }
}

struct Keeper;

impl Recorder for Keeper {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let place = COUNTERS.iter().position(|(name, _)| *name == key.name());
        place.map_or_else(Counter::noop, |place| Counter::from_arc(Arc::clone(&FIGURES.counters[place])))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let place = HISTOGRAMS.iter().position(|(name, ..)| *name == key.name());
        place.map_or_else(Histogram::noop, |place| Histogram::from_arc(Arc::clone(&FIGURES.histograms[place])))
    }
}
