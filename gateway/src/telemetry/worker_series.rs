//! Gauges for each worker. They are kept here and not by the recorder, which never drops a series:
//! every worker that a rollout or an autoscaler ever started would stay until this gateway ends.
//!
//! > A worker has series while the pool knows it, a session is on it, or one of its handlers is
//! > stuck.
//!
//! They are rendered at each scrape. A program with its own recorder does not get them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The most workers that have series. Beyond it, further workers have none, however many addresses
/// a name resolves to.
const MAX_WORKERS: usize = 4_096;

/// A gauge's name and its help.
pub(crate) type Gauge = (&'static str, &'static str);

/// By worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerSeries(BTreeMap<String, Worker>);

#[derive(Debug, Default)]
struct Worker {
    /// Its state in the pool, if it is there.
    up: Option<bool>,
    /// `None` if there never was one.
    sessions: Option<u32>,
    stuck: Option<u32>,
}

impl WorkerSeries {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The pool knows the worker, and uses it or not.
    pub(crate) fn up(&mut self, worker: &str, up: bool) {
        self.change(worker, |worker| worker.up = Some(up));
    }

    /// The pool no longer knows the worker.
    pub(crate) fn gone(&mut self, worker: &str) {
        self.change(worker, |worker| worker.up = None);
    }

    /// The current number.
    pub(crate) fn sessions(&mut self, worker: &str, sessions: u32) {
        self.change(worker, |worker| worker.sessions = Some(sessions));
    }

    /// One more handler, or one fewer, has not returned.
    pub(crate) fn stuck(&mut self, worker: &str, more: bool) {
        self.change(worker, |worker| {
            let stuck = worker.stuck.unwrap_or_default();
            worker.stuck =
                Some(if more { stuck.saturating_add(1) } else { stuck.saturating_sub(1) });
        });
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Worker)) {
        let full = self.0.len() >= MAX_WORKERS;
        if let Some(worker) = self.0.get_mut(name) {
            change(worker);
            if worker.is_over() {
                self.0.remove(name);
            }
        } else if !full {
            let mut worker = Worker::default();
            change(&mut worker);
            if !worker.is_over() {
                self.0.insert(name.to_owned(), worker);
            }
        }
    }

    /// In the text format of Prometheus.
    pub(crate) fn render(&self, text: &mut String, [up, sessions, stuck]: [Gauge; 3]) {
        self.render_one(text, up, |worker| worker.up.map(u32::from));
        self.render_one(text, sessions, |worker| worker.sessions);
        self.render_one(text, stuck, |worker| worker.stuck);
    }

    fn render_one(
        &self,
        text: &mut String,
        (name, help): Gauge,
        value: impl Fn(&Worker) -> Option<u32>,
    ) {
        let mut values =
            self.0.iter().filter_map(|(worker, of)| Some((worker, value(of)?))).peekable();
        if values.peek().is_none() {
            return;
        }
        write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n")
            .expect("a String takes any text");
        for (worker, value) in values {
            let worker = worker.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            writeln!(text, "{name}{{worker=\"{worker}\"}} {value}")
                .expect("a String takes any text");
        }
        text.push('\n');
    }
}

impl Worker {
    fn is_over(&self) -> bool {
        self.up.is_none()
            && self.sessions.is_none_or(|count| count == 0)
            && self.stuck.is_none_or(|count| count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUGES: [Gauge; 3] = [("up", "Up."), ("sessions", "Sessions."), ("stuck", "Stuck.")];

    fn rendered(series: &WorkerSeries) -> Vec<String> {
        let mut text = String::new();
        series.render(&mut text, GAUGES);
        text.lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_worker_that_vanished_stays_while_it_has_something_of_ours() {
        let mut series = WorkerSeries::new();
        series.up("a", true);
        series.sessions("a", 2);
        series.stuck("a", true);
        assert_eq!(
            rendered(&series),
            [r#"up{worker="a"} 1"#, r#"sessions{worker="a"} 2"#, r#"stuck{worker="a"} 1"#]
        );
        series.gone("a");
        assert_eq!(rendered(&series), [r#"sessions{worker="a"} 2"#, r#"stuck{worker="a"} 1"#]);
        series.sessions("a", 0);
        series.stuck("a", false);
        assert_eq!(rendered(&series), Vec::<String>::new());
        // Late updates do not create a series again.
        series.sessions("a", 0);
        series.gone("a");
        assert!(series.0.is_empty());
    }

    #[test]
    fn one_that_is_known_has_only_what_it_ever_had() {
        let mut series = WorkerSeries::new();
        series.up("a", false);
        assert_eq!(rendered(&series), [r#"up{worker="a"} 0"#]);
        series.sessions("a", 1);
        series.sessions("a", 0);
        assert_eq!(rendered(&series), [r#"up{worker="a"} 0"#, r#"sessions{worker="a"} 0"#]);
    }

    #[test]
    fn there_is_a_most_and_a_name_may_hold_anything() {
        let mut series = WorkerSeries::new();
        series.up("unix:/a \"b\"\\\n", true);
        assert_eq!(rendered(&series), [r#"up{worker="unix:/a \"b\"\\\n"} 1"#]);
        (0..2 * MAX_WORKERS).for_each(|n| series.up(&n.to_string(), true));
        assert_eq!(rendered(&series).len(), MAX_WORKERS);
    }
}
