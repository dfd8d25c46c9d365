//! The `diolkos` command.
fn main() {}
