//! Every metric is watched, or listed with the reason why not; every alert has a section in the
//! runbook and tests; the dashboard tells deployments apart.

use std::collections::BTreeSet;

use serde_json::Value;

use super::docs::{read, words};

const RULES: [(&str, &str); 2] = [
    ("deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml"),
    ("deploy/prometheus/slo.yml", "deploy/prometheus/slo_test.yml"),
];

/// A file of rules without its prose, which names metrics that no rule asks for.
fn queries(rules: &str) -> String {
    let prose = ["#", "summary:", "description:"];
    let text = read(rules);
    let lines = text.lines().filter(|line| !prose.iter().any(|p| line.trim().starts_with(p)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The metrics in queries; a histogram by its own name.
fn metrics(queries: &str) -> BTreeSet<String> {
    let name = |series: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| series.strip_suffix(part)).unwrap_or(series).to_owned()
    };
    words(queries, "reframe_").into_iter().map(name).collect()
}

fn of_the_dashboard() -> String {
    let text = read("deploy/grafana/dashboards/reframe.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.filter_map(|target| target["expr"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_metric_is_in_a_panel_a_rule_or_the_list_of_exceptions() {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let all: BTreeSet<String> =
        rows.filter(|name| name.starts_with("reframe_")).map(str::to_owned).collect();
    let mut watched = metrics(&of_the_dashboard());
    for (rules, _) in RULES {
        watched.extend(metrics(&queries(rules)));
    }
    let list = read("deploy/prometheus/unwatched.yml");
    let mut exceptions = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (name, reason) = line.split_once(": ").expect("a metric and its reason");
        assert!(reason.trim().len() > 10, "unwatched.yml has no reason for {name}");
        exceptions.insert(name.to_owned());
    }
    let unknown: Vec<_> = watched.union(&exceptions).filter(|name| !all.contains(*name)).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    let twice: Vec<_> = watched.intersection(&exceptions).collect();
    assert!(twice.is_empty(), "watched, and in unwatched.yml: {twice:?}");
    let nowhere: Vec<_> =
        all.iter().filter(|name| !watched.contains(*name) && !exceptions.contains(*name)).collect();
    assert!(nowhere.is_empty(), "in no panel, no rule and not in unwatched.yml: {nowhere:?}");
    assert!(all.len() > 50 && !exceptions.is_empty(), "the test has gone blind");
}

#[test]
fn every_query_of_the_dashboard_asks_for_the_chosen_namespace() {
    let queries = of_the_dashboard();
    assert!(queries.lines().count() > 40, "the test has gone blind");
    for query in queries.lines() {
        assert!(query.contains("namespace=~\"$namespace\""), "{query}");
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook_and_a_test() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut alerts = BTreeSet::new();
    let sources = RULES.map(|(rules, tests)| (read(rules), read(tests)));
    for (rules, tests) in &sources {
        // The run in which nothing fires has what each alert asks for.
        let silent = metrics(tests.split("\n  - name: ").nth(1).expect("a first test"));
        for alert in rules.split("- alert: ").skip(1) {
            let (name, alert) = alert.split_once('\n').expect("lines");
            let link = format!("runbook_url: docs/runbook.md#{}\n", name.to_lowercase());
            assert!(alert.contains(&link), "{name} has no {link}");
            let severity = ["severity: page }", "severity: ticket }"];
            assert!(severity.iter().any(|text| alert.contains(text)), "{name} has no severity");
            let query = alert.split("expr: ").nth(1).and_then(|rest| rest.split("labels:").next());
            let asked = metrics(query.expect("a query"));
            assert!(asked.is_subset(&silent), "{name} is silent for want of {asked:?}");
            let in_samples = format!("alertname=\"{name}\"");
            let in_alerts = format!("- alertname: {name}\n");
            assert!(
                tests.contains(&in_samples) || tests.contains(&in_alerts),
                "{name} never fires"
            );
            alerts.insert(name);
        }
    }
    assert_eq!(sections, alerts, "sections of docs/runbook.md, and alerts");
    assert!(alerts.len() > 20, "the test has gone blind");
}
