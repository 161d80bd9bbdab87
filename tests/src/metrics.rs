//! The Prometheus text format, as much of it as a scrape of `/metrics` needs.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Parses a scrape.
    ///
    /// # Panics
    /// On a line that is neither a comment nor a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| sample(line).unwrap_or_else(|| panic!("not a metric: {line:?}")))
                .collect(),
        )
    }

    /// The sum of every series of `name` that carries all of `labels`; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `sum`: that of nothing is -0.
        self.matching(name, labels).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The values of `name` by the value of its label `label`.
    #[must_use]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for sample in self.matching(name, &[]) {
            if let Some(key) = sample.labels.get(label) {
                *values.entry(key.clone()).or_default() += sample.value;
            }
        }
        values
    }

    /// Those of [`Self::by`] that are above zero: what has happened at all.
    #[must_use]
    pub fn counted(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        self.by(name, label).into_iter().filter(|(_, value)| *value > 0.0).collect()
    }

    /// An upper bound of the `quantile` (0 to 1) of the histogram `name`: the upper end of the
    /// bucket that holds it, so infinite where that is the last. `None` when nothing was recorded.
    #[must_use]
    pub fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let buckets = self.by(&format!("{name}_bucket"), "le");
        let mut buckets: Vec<(f64, f64)> =
            buckets.iter().filter_map(|(end, count)| Some((end.parse().ok()?, *count))).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (_, total) = *buckets.last().filter(|(_, total)| *total > 0.0)?;
        buckets.iter().find(|(_, count)| *count >= total * quantile).map(|(end, _)| *end)
    }

    /// True when at least one series has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.matching(name, &[]).next().is_some()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    // A timestamp may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# HELP reframe_frames_dropped_total Frames that ended, by hop and reason.
# TYPE reframe_frames_dropped_total counter
reframe_frames_dropped_total{hop="session",reason="skipped"} 7
reframe_frames_dropped_total{hop="session",reason="full"} 2
reframe_frames_dropped_total{hop="ingress",reason="backlog"} 1 1700000000000
reframe_sessions_active 3
reframe_handler_seconds_bucket{le="+Inf"} 12
reframe_worker_sessions{worker="a, \"b\" {c}\\d"} 2e0
"#;

    #[test]
    fn sums_by_label() {
        let metrics = Metrics::parse(SCRAPE);
        let dropped = |labels: &[_]| metrics.sum("reframe_frames_dropped_total", labels);
        assert_eq!(dropped(&[]), 10.0);
        assert_eq!(dropped(&[("hop", "session")]), 9.0);
        assert_eq!(dropped(&[("hop", "session"), ("reason", "skipped")]), 7.0);
        assert_eq!(dropped(&[("hop", "pacer")]), 0.0);
        assert_eq!(metrics.sum("reframe_sessions_active", &[]), 3.0);
        assert_eq!(metrics.sum("reframe_handler_seconds_bucket", &[("le", "+Inf")]), 12.0);
        assert!(metrics.has("reframe_sessions_active") && !metrics.has("reframe_sessions"));
    }

    #[test]
    fn groups_by_a_label_with_escapes() {
        let workers = Metrics::parse(SCRAPE).by("reframe_worker_sessions", "worker");
        assert_eq!(workers, BTreeMap::from([(r#"a, "b" {c}\d"#.to_owned(), 2.0)]));
        let metrics = Metrics::parse("n_total{step=\"a\"} 0\nn_total{step=\"b\"} 2\n");
        assert_eq!(metrics.counted("n_total", "step"), [("b".to_owned(), 2.0)].into());
    }

    #[test]
    fn a_quantile_is_the_end_of_its_bucket() {
        let metrics = Metrics::parse(
            "h_bucket{le=\"0.001\"} 98\nh_bucket{le=\"0.01\"} 99\nh_bucket{le=\"+Inf\"} \
             100\nempty_bucket{le=\"+Inf\"} 0\n",
        );
        let quantiles = [0.5, 0.98, 0.99, 1.0].map(|quantile| metrics.quantile("h", quantile));
        assert_eq!(quantiles, [Some(0.001), Some(0.001), Some(0.01), Some(f64::INFINITY)]);
        assert_eq!((metrics.quantile("empty", 0.5), metrics.quantile("absent", 0.5)), (None, None));
    }

    #[test]
    #[should_panic(expected = "not a metric: \"oops\"")]
    fn refuses_what_it_does_not_know() {
        drop(Metrics::parse("oops"));
    }
}
