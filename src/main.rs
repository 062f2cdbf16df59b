//! Main: the command line.

fn main() {}
