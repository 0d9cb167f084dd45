//! The `zerosearch` program: reads the command line, runs one verb, prints one error.

use std::process::ExitCode;

use clap::Parser;
use zerosearch::problem::{problem, report};
use zerosearch::stop::{Reason, Stopper, listen};

mod cli;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    cli::log_to_stderr();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(&report(&error.into())),
    };
    let (stopper, stop) = Stopper::new();
    let minutes = command.minutes();
    let work = runtime.spawn(async move { command.run(&stop).await });
    let listening = runtime.spawn(listen(stopper, minutes));
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = work => outcome.unwrap_or_else(|gone| Err(gone.into())),
            _ = listening => Err(problem("left at the second Ctrl-C, without saving").into()),
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(Some(Reason::Interrupted)) => ExitCode::from(130),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&report(&error)),
    }
}
