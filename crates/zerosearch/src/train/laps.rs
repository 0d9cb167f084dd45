//! Laps: how long each part of a step took, and how fast it was.

use std::time::Instant;

use crate::rollout::Group;
use crate::run::Row;

/// A stopwatch over one step.
#[derive(Clone, Copy, Debug)]
pub struct Laps {
    started: Instant,
    last: Instant,
}

impl Laps {
    /// Starts now.
    pub fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last: now }
    }

    /// Puts the seconds since the last lap under `name`.
    pub fn lap(&mut self, row: &mut Row, name: &str) {
        let now = Instant::now();
        row.put(name, (now - self.last).as_secs_f64());
        self.last = now;
    }

    /// Puts the whole step's seconds, its tokens in a second, and the most memory that was ever held.
    pub fn finish(&self, row: &mut Row, groups: &[Group]) {
        let tokens: usize =
            groups.iter().flat_map(|group| &group.trajectories).map(|it| it.transcript.len()).sum();
        self.finish_with_tokens(row, tokens);
    }

    /// [`Laps::finish`] for a step that saw so many tokens.
    pub fn finish_with_tokens(&self, row: &mut Row, tokens: usize) {
        let seconds = self.started.elapsed().as_secs_f64();
        row.put("timing_s/step", seconds);
        row.put("perf/throughput", tokens as f64 / seconds.max(1e-9));
        if let Some(gib) = peak_memory_gib() {
            row.put("perf/max_memory_allocated_gb", gib);
        }
    }
}

/// The most memory that this process ever held, where the system tells.
fn peak_memory_gib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / (1024.0 * 1024.0))
}
