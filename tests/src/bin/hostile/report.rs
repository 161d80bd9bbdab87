//! The table of `docs/security.md`, with what was seen of each promise.

use std::fmt;
use std::time::Duration;

use reframe_tests::attacker::arena::Outcome;
use reframe_tests::attacker::promises::{Row, rows};

/// Of a whole run.
#[derive(Default)]
pub(crate) struct Report(Vec<Tried>);

/// One attack.
struct Tried {
    name: &'static str,
    runs: usize,
    broken: usize,
    /// Of the honest streams, in the worst window of all runs.
    fps: f64,
    /// The longest of all runs; `None` where it was not.
    settled: Option<Duration>,
    /// Of the first run that was not as promised.
    seen: Option<String>,
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, outcome: Outcome) {
        let at = self.0.iter().position(|tried| tried.name == name).unwrap_or_else(|| {
            let (fps, settled) = (f64::INFINITY, Some(Duration::ZERO));
            self.0.push(Tried { name, runs: 0, broken: 0, fps, settled, seen: None });
            self.0.len() - 1
        });
        let tried = &mut self.0[at];
        tried.runs += 1;
        if !outcome.held {
            tried.broken += 1;
            tried.seen.get_or_insert(outcome.seen);
        }
        tried.fps = tried.fps.min(outcome.fps.unwrap_or(f64::INFINITY));
        tried.settled = tried.settled.zip(outcome.settled).map(|(longest, this)| longest.max(this));
    }

    pub(crate) fn all_held(&self) -> bool {
        self.0.iter().all(|tried| tried.broken == 0)
    }

    /// Attacks with what the honest streams were like, and whether the promise held; `-` where none
    /// was made.
    fn cells(&self, row: &Row) -> (String, String) {
        let tried = row.attacks().filter_map(|name| self.0.iter().find(|tried| tried.name == name));
        let tried: Vec<_> = tried.collect();
        if tried.is_empty() {
            return ("-".to_owned(), "-".to_owned());
        }
        let [runs, broken] = [|tried: &Tried| tried.runs, |tried: &Tried| tried.broken]
            .map(|count| tried.iter().map(|tried| count(tried)).sum::<usize>());
        let seen = tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        (seen, if broken == 0 { "yes".to_owned() } else { format!("NO, {broken} of {runs}") })
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.runs, self.name)?;
        if self.fps.is_finite() {
            write!(f, ", {:.1} fps", self.fps)?;
        }
        match self.settled {
            Some(settled) => write!(f, ", {:.1} s", settled.as_secs_f64()),
            None => write!(f, ", not given back"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for row in rows() {
            if row.section != section {
                section = row.section;
                writeln!(
                    f,
                    "\n## {section}\n\n| promise | bound | test | attacks, honest fps, given back \
                     | held |"
                )?;
                writeln!(f, "|---|---|---|---|---|")?;
            }
            let (seen, held) = self.cells(&row);
            writeln!(f, "| {} | {} | {} | {seen} | {held} |", row.promise, row.bound, row.test)?;
        }
        for tried in self.0.iter().filter(|tried| tried.seen.is_some()) {
            writeln!(
                f,
                "\nBROKEN by {}: {}",
                tried.name,
                tried.seen.as_deref().unwrap_or_default()
            )?;
        }
        Ok(())
    }
}
