//! What the documents say is there is there: paths, metric names, options, routes and the hops' headers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reframe_tests::process;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All documents, the sources of which are checked below.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).into();
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a UTF-8 name");
            documents
                .extend(Path::new(&name).extension().is_some_and(|e| e == "md").then(|| format!("{folder}/{name}")));
        }
    }
    documents
}

/// What stands between single backticks, and the targets of links.
fn mentions(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    code.chain(links).collect()
}

/// The words of `text` that start with `prefix`, up to the first character that no name has.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(rest.len());
            rest[..end].trim_end_matches(['-', '_'])
        })
        .filter(|word| word.len() > prefix.len())
        .collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut checked = 0;
    for document in documents() {
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for mention in mentions(&read(&document)) {
            let looks_like_a_path = mention.contains('/')
                && !mention.contains([' ', '<', ':', '{', '…', '='])
                && !mention.starts_with(['/', '-'])
                && ["gateway", "worker", "proto", "tests", "docs", "scripts", "decisions"]
                    .iter()
                    .any(|top| mention.split('/').next() == Some(top));
            if looks_like_a_path {
                checked += 1;
                let beside = root().join(&folder).join(mention);
                assert!(beside.exists() || root().join(mention).exists(), "{document} names {mention}");
            }
        }
    }
    assert!(checked > 30, "only {checked} paths found: the test has gone blind");
}

#[test]
fn the_metrics_page_lists_what_the_gateway_describes() {
    let source = read("gateway/src/telemetry.rs");
    let described: BTreeSet<&str> = source
        .split("describe_")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        .filter(|name| name.starts_with("reframe_"))
        .collect();
    let page = read("docs/metrics.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `reframe_"))
        .map(|rest| rest.split('`').next().unwrap())
        .collect();
    let documented: BTreeSet<String> = documented.iter().map(|name| format!("reframe_{name}")).collect();
    assert_eq!(documented, described.iter().map(|name| (*name).to_owned()).collect());
    assert!(described.len() > 10);
    let used: BTreeSet<&str> =
        words(&source, "reframe_").into_iter().filter(|name| *name != "reframe_gateway").collect();
    assert_eq!(used, described, "a metric is used and not described");
}

#[test]
fn the_options_page_lists_what_help_says() {
    let page = read("docs/config.md");
    let mut helped = BTreeSet::new();
    for (program, arguments) in [
        ("reframe-gateway", &["--help"][..]),
        ("reframe-worker", &["launch", "--help"]),
        ("reframe-worker", &["serve", "--help"]),
    ] {
        let help = String::from_utf8(process::run(program, arguments).stdout).unwrap();
        for flag in words(&help, "--") {
            let told = format!("`{flag}`");
            assert!(matches!(flag, "--help" | "--version" | "--demo") || page.contains(&told), "{flag} of {program}");
            helped.insert(flag.to_owned());
        }
        for variable in words(&help, "REFRAME_") {
            assert!(variable == "REFRAME_DEMO" || page.contains(&format!("`{variable}`")), "{variable} of {program}");
        }
    }
    for flag in words(&page, "--").into_iter().filter(|flag| *flag != "--help") {
        assert!(helped.contains(flag), "docs/config.md lists {flag}, which no program has");
    }
}

#[test]
fn every_route_is_documented() {
    let page = read("docs/http-api.md");
    for source in ["gateway/src/http.rs", "gateway/src/admin.rs"] {
        for route in read(source).split(".route(\"").skip(1) {
            let route = route.split('"').next().unwrap();
            assert!(page.contains(&format!("{route}`")), "{route} of {source}");
        }
    }
}

#[test]
fn every_hop_opens_with_its_header() {
    let hops = [
        ("gateway/src/peer.rs", "//! Hops 1 and 10 of 10:"),
        ("gateway/src/ingress.rs", "//! Hop 2 of 10:"),
        ("gateway/src/session/mod.rs", "//! Hop 3 of 10:"),
        ("gateway/src/link/send.rs", "//! Hop 4 of 10:"),
        ("worker/src/service.rs", "//! Hop 5 of 10:"),
        ("worker/src/runner/mod.rs", "//! Hop 6 of 10:"),
        ("gateway/src/link/recv.rs", "//! Hop 7 of 10:"),
        ("gateway/src/pacer/mod.rs", "//! Hop 8 of 10:"),
        ("gateway/src/egress.rs", "//! Hop 9 of 10:"),
    ];
    let map = read("ARCHITECTURE.md");
    for (path, opening) in hops {
        let source = read(path);
        assert!(source.starts_with(opening), "{path} does not open with {opening}");
        let header: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        for field in ["In:", "Out:", "Runs:", "Full:", "Clock:"] {
            assert!(header.contains(field), "{path} does not say {field}");
        }
        assert!(map.contains(&format!("`{path}`")), "ARCHITECTURE.md does not name {path}");
    }
}
