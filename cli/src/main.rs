//! The `diolkos` command: parse, dispatch, exit.
#![expect(clippy::print_stderr, reason = "a program for people at a terminal")]

mod admin;
mod arguments;
mod echo;
mod exit;
mod issuing;
mod probe;
mod report;
mod sample;
mod source;
mod verb;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Verb};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.verb {
        Verb::Serve(serve) => verb::serve::run(serve),
        Verb::Check(check) => verb::check::run(check),
        Verb::Explain(explain) => verb::explain::run(explain),
        Verb::Get(get) => verb::get::run(get),
        Verb::Identity(identity) => verb::identity::run(identity),
        Verb::Issuer(issuer) => verb::issuer::run(issuer),
        Verb::Echo(echo) => verb::echo::run(echo),
        Verb::Probe(probe) => verb::probe::run(probe),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("diolkos: {failure}");
            failure.code()
        }
    }
}
