//! Measurements, in one binary: `cargo bench` runs all, `cargo bench -- scan9` one.
//!
//! Each compares ways to do one job in one run on one set of data, checks that the answers agree, and prints a table.
//! Figures of different runs are not comparable on a shared machine; ratios within a run are.

mod copy;
mod cpu;
mod events;
mod ordered;
mod scan9;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let benches: [(&str, fn()); 3] = [("scan9", scan9::run), ("copy", copy::run), ("ordered", ordered::run)];
    for (name, run) in benches {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run();
        }
    }
}
