//! The command line: parses it and calls one function.

fn main() {}
