//! Progress: how far a long verb is, as a bar on a terminal and as plain lines elsewhere.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Row;

/// Shows how far a verb is. Everything goes to standard error and, as plain lines, to the run's log.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    log: Mutex<Option<File>>,
    started: Instant,
    /// What was done when it started.
    before: u64,
    /// Tenths of the whole that plain lines have shown.
    tenths: AtomicU64,
    quiet: bool,
}

/// What of a metrics row is shown, under which word, with how many decimals.
const SHOWN: &[(&str, &str, usize)] = &[
    ("reward/mean", "reward", 3),
    ("sft/loss", "loss", 4),
    ("curriculum/noise_prob", "noise", 2),
    ("tool_call_counts/mean", "searches", 2),
    ("perf/throughput", "tokens/s", 0),
];

impl Progress {
    /// A bar over `total` steps of which `done` are done, where standard error is a terminal.
    pub fn new(total: u64, done: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(total, done));
        let tenths = AtomicU64::new(tenths(done, total));
        Self { bar, before: done, tenths, quiet: false, ..Self::silent() }
    }

    /// Progress that nobody sees.
    pub fn silent() -> Self {
        Self {
            bar: None,
            log: Mutex::new(None),
            started: Instant::now(),
            before: 0,
            tenths: AtomicU64::new(0),
            quiet: true,
        }
    }

    /// The same progress, written to the file at `path` too, behind what is there.
    pub fn logged(self, path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { log: Mutex::new(Some(file)), ..self })
    }

    /// Says one line.
    pub fn say(&self, line: &str) {
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A full disk is told by the next write that matters.
            let _ = writeln!(log, "{line}");
        }
        match &self.bar {
            Some(bar) => bar.println(line),
            None if self.quiet => {}
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Shows parts of the step under way, on a terminal only.
    pub fn part(&self, what: &str, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("{what} {done}/{total}"));
        }
    }

    /// Shows a step that is done, out of `total`.
    pub fn step(&self, row: &Row, total: u64) {
        let left = self.time_left(row.step(), total);
        let line = line(row, total, left);
        match &self.bar {
            Some(bar) => {
                bar.set_position(row.step());
                bar.set_message(line.clone());
                if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    let _ = writeln!(log, "{line}");
                }
            }
            None => self.say(&line),
        }
    }

    /// Shows that `done` of `total` things, called `what`, are done: in the bar, or as about ten plain lines in all.
    pub fn counted(&self, what: &str, done: u64, total: u64) {
        self.tell(&format!("{done}/{total} {what}"), done, total);
    }

    /// The same in other words: for things of which nobody knows how many there are, `done` of `total` is the share.
    pub fn tell(&self, told: &str, done: u64, total: u64) {
        let line = format!("{told}  {} left", words(self.time_left(done, total)));
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(line);
            }
            None => {
                let now = tenths(done, total);
                if self.tenths.fetch_max(now, Ordering::Relaxed) < now {
                    self.say(&line);
                }
            }
        }
    }

    /// From the mean of what was done since the start.
    fn time_left(&self, done: u64, total: u64) -> Duration {
        let since = done.saturating_sub(self.before).max(1);
        self.started.elapsed().mul_f64(total.saturating_sub(done) as f64 / since as f64)
    }
}

fn tenths(done: u64, total: u64) -> u64 {
    done.saturating_mul(10) / total.max(1)
}

fn bar(total: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_position(done);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}  {prefix}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn line(row: &Row, total: u64, left: Duration) -> String {
    let mut line = format!("step {}/{total}", row.step());
    for (name, word, decimals) in SHOWN {
        if let Some(value) = row.get(name) {
            line.push_str(&format!("  {word} {value:.decimals$}"));
        }
    }
    line.push_str(&format!("  {} left", words(left)));
    line
}

/// `2h05m`, `3m20s` or `7s`.
fn words(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_the_row_has() {
        let mut row = Row::at(12);
        row.put("reward/mean", 0.25).put("curriculum/noise_prob", 0.1).put("perf/throughput", 812.4);
        let shown = line(&row, 200, Duration::from_secs(200));
        assert_eq!(shown, "step 12/200  reward 0.250  noise 0.10  tokens/s 812  3m20s left");
    }

    #[test]
    fn times_are_short() {
        let told = [7, 60, 7500].map(|seconds| words(Duration::from_secs(seconds)));
        assert_eq!(told, ["7s", "1m00s", "2h05m"]);
    }

    #[test]
    fn what_is_said_reaches_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        Progress::silent().logged(&path).unwrap().say("hello");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "hello\n");
    }
}
