//! The screen: where results, errors and warnings are printed.

use std::io::Write;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Prints an error report and gives the exit code of a failure.
pub(crate) fn fail(report: &str) -> ExitCode {
    // Without standard error there is nobody to tell.
    let _ = write!(std::io::stderr().lock(), "{report}");
    ExitCode::FAILURE
}

/// Prints one line of a verb's result. A reader that has gone away (`| head`) is no failure.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Shows warnings of the libraries; `RUST_LOG` asks for more.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // Fails only when somebody has set a subscriber already, which is just as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .with_target(false)
        .try_init();
}
