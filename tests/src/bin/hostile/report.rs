//! The table: promise, bound, what was seen.

use std::fmt;
use std::time::Duration;

use crate::arena::Outcome;
use crate::promises::Promise;

/// Of a whole run.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

struct Row {
    promise: &'static Promise,
    runs: usize,
    broken: usize,
    /// Of the honest streams, in the worst window of all runs.
    fps: f64,
    settled: Duration,
    /// Of the first run that broke it; else of the last.
    seen: String,
}

impl Report {
    pub(crate) fn add(&mut self, promise: &'static Promise, outcome: Outcome) {
        let at = self.0.iter().position(|row| row.promise.name == promise.name).unwrap_or_else(|| {
            let (fps, settled) = (f64::INFINITY, Duration::ZERO);
            self.0.push(Row { promise, runs: 0, broken: 0, fps, settled, seen: String::new() });
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        row.runs += 1;
        if row.broken == 0 {
            row.seen = outcome.seen;
        }
        row.broken += usize::from(!outcome.held);
        row.fps = row.fps.min(outcome.fps.unwrap_or(f64::INFINITY));
        row.settled = row.settled.max(outcome.settled.unwrap_or_default());
    }

    pub(crate) fn all_held(&self) -> bool {
        self.0.iter().all(|row| row.broken == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| promise | bound | attack | runs | honest fps | given back | held | seen |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for Row { promise: Promise { name, promise, bound, .. }, runs, broken, fps, settled, seen } in &self.0 {
            let held = if *broken == 0 { "yes".to_owned() } else { format!("NO, {broken} of {runs}") };
            let settled = settled.as_secs_f64();
            let fps = if fps.is_finite() { format!("{fps:.1}") } else { "-".to_owned() };
            writeln!(f, "| {promise} | {bound} | {name} | {runs} | {fps} | {settled:.1} s | {held} | {seen} |")?;
        }
        Ok(())
    }
}
