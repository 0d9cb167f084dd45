//! The `zerosearch` program.
fn main() {}
