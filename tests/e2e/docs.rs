//! What the documents say is there is there: paths, metric names, options, routes, examples and the
//! hops' headers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reframe_tests::attacker::attacks;
use reframe_tests::attacker::promises::{Row, rows};
use reframe_tests::{http, process};
use serde_json::Value;

use super::Cluster;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All documents, the sources of which are checked below.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
            .map(str::to_owned)
            .into();
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a UTF-8 name");
            documents.extend(
                Path::new(&name)
                    .extension()
                    .is_some_and(|e| e == "md")
                    .then(|| format!("{folder}/{name}")),
            );
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
pub(super) fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .filter(|(at, _)| {
            !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        })
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'))
                .unwrap_or(rest.len());
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
                && [
                    "gateway",
                    "worker",
                    "proto",
                    "tests",
                    "docs",
                    "scripts",
                    "decisions",
                    "deploy",
                ]
                .iter()
                .any(|top| mention.split('/').next() == Some(top));
            if looks_like_a_path {
                checked += 1;
                let beside = root().join(&folder).join(mention);
                assert!(
                    beside.exists() || root().join(mention).exists(),
                    "{document} names {mention}"
                );
            }
        }
    }
    assert!(checked > 30, "only {checked} paths found: the test has gone blind");
}

/// Each row's last cell names files, behind a file the tests in it, and attacks: each is named in
/// one row.
#[test]
fn every_test_that_the_security_page_names_exists() {
    let (mut checked, mut source) = (0, String::new());
    for row in read("docs/security.md")
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with(" |"))
    {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        for mention in mentions(cell) {
            if mention.ends_with(".rs") {
                source = read(mention);
            } else if mention.contains('_') {
                checked += 1;
                assert!(
                    source.contains(&format!("fn {mention}()")),
                    "docs/security.md names {mention}"
                );
            }
        }
    }
    assert!(checked > 15, "only {checked} tests found: the test has gone blind");
    let sorted = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names
    };
    let named = sorted(rows().iter().flat_map(Row::attacks).collect());
    assert_eq!(
        named,
        sorted(attacks::all().map(|attack| attack.name).collect()),
        "docs/security.md names other attacks"
    );
}

/// As above, of what RFC 9725 demands.
#[test]
fn every_test_that_the_page_of_whip_and_whep_names_exists() {
    let (mut checked, mut source) = (0, String::new());
    for row in read("docs/whip-whep.md").lines().filter(|line| line.ends_with(" |")) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        for mention in mentions(cell) {
            if mention.ends_with(".rs") {
                source = match mention.strip_prefix("whip/") {
                    Some(file) => read(&format!("tests/e2e/whip/{file}")),
                    None => read(mention),
                };
            } else if mention.contains('_') {
                checked += 1;
                let test = format!("fn {mention}()");
                assert!(source.contains(&test), "docs/whip-whep.md names {mention}");
            }
        }
    }
    assert!(checked > 25, "only {checked} tests found: the test has gone blind");
}

#[test]
fn the_metrics_page_lists_what_the_gateway_describes() {
    let folder = fs::read_dir(root().join("gateway/src/telemetry")).expect("the folder");
    let files = folder.map(|entry| fs::read_to_string(entry.expect("an entry").path()));
    let source: String = files.map(|text| text.expect("a source")).collect();
    // To the recorder, or of those that are kept beside it.
    let described: BTreeSet<&str> = ["describe_", ": Gauge ="]
        .into_iter()
        .flat_map(|before| source.split(before).skip(1))
        .filter_map(|rest| rest.split('"').nth(1))
        .filter(|name| name.starts_with("reframe_"))
        .collect();
    let page = read("docs/metrics.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `reframe_"))
        .map(|rest| rest.split('`').next().unwrap())
        .collect();
    let documented: BTreeSet<String> =
        documented.iter().map(|name| format!("reframe_{name}")).collect();
    assert_eq!(documented, described.iter().map(|name| (*name).to_owned()).collect());
    assert!(described.len() > 10);
    let is_crate = |name: &&str| ["reframe_gateway", "reframe_trace"].contains(name);
    let used: BTreeSet<&str> =
        words(&source, "reframe_").into_iter().filter(|name| !is_crate(name)).collect();
    assert_eq!(used, described, "a metric is used and not described");
}

/// To Prometheus, a counter that first appears at 1 has not grown.
#[test]
fn every_counter_begins_at_zero_with_every_label_that_the_metrics_page_has() {
    let options = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut gateway = process::Process::start("reframe-gateway", &options);
    let admin = gateway.announced("admin ");
    let scrape = http::get(&format!("{admin}metrics")).expect("the admin port answers");
    let metrics = reframe_tests::metrics::Metrics::parse(&scrape.body);
    let (page, mut checked) = (read("docs/metrics.md"), 0);
    let word = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for row in page.lines().filter(|line| line.contains(" | counter | ")) {
        let [_, name, _, labels, meaning, ..] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let name = name.trim().trim_matches('`');
        let labels: Vec<&str> = labels.split('`').skip(1).step_by(2).collect();
        let values: Vec<&str> = match labels[..] {
            [] => {
                assert!(metrics.has(name), "{name} does not begin at zero");
                continue;
            }
            // They begin with their stream or server.
            ["stream" | "server"] => continue,
            _ => mentions(meaning).into_iter().filter(word).collect(),
        };
        let known = metrics.by(name, labels[labels.len() - 1]);
        // Named beside the values.
        let other = |value: &&str| *value == "max_sessions" || value.starts_with("reframe_");
        for value in values.into_iter().filter(|value| !other(value)) {
            checked += 1;
            assert!(known.contains_key(value), "{name} does not begin at zero for `{value}`");
        }
    }
    let hops = page.split("| `hop` |").nth(1).expect("the table of hops");
    for row in hops.lines().filter(|line| line.starts_with("| `")) {
        let [_, hop, reasons, _, _] = row.split('|').collect::<Vec<_>>()[..] else { continue };
        let hop = hop.trim().trim_matches('`');
        for reason in mentions(reasons) {
            checked += 1;
            let labels = [("hop", hop), ("reason", reason)];
            let scraped = labels.map(|(name, value)| format!("{name}=\"{value}\"")).join(",");
            let series = format!("reframe_frames_dropped_total{{{scraped}}} 0");
            assert!(scrape.body.contains(&series), "{series}");
        }
    }
    assert!(checked > 100, "only {checked} values found: the test has gone blind");
}

#[test]
fn the_options_page_lists_what_help_says() {
    let page = read("docs/config.md");
    let mut helped = BTreeSet::new();
    for (program, arguments) in [
        ("reframe-gateway", &["--help"][..]),
        ("reframe-gateway", &["token", "--help"]),
        ("reframe-worker", &["launch", "--help"]),
        ("reframe-worker", &["serve", "--help"]),
        ("reframe-worker", &["check", "--help"]),
    ] {
        let help = String::from_utf8(process::run(program, arguments).stdout).unwrap();
        for flag in words(&help, "--") {
            let told = format!("`{flag}`");
            assert!(
                matches!(flag, "--help" | "--version") || page.contains(&told),
                "{flag} of {program}"
            );
            helped.insert(flag.to_owned());
        }
        for variable in words(&help, "REFRAME_") {
            assert!(page.contains(&format!("`{variable}`")), "{variable} of {program}");
        }
    }
    for flag in words(&page, "--").into_iter().filter(|flag| *flag != "--help") {
        assert!(helped.contains(flag), "docs/config.md lists {flag}, which no program has");
    }
}

/// The gateway's sources that answer HTTP.
fn http_sources() -> Vec<PathBuf> {
    let folder = |path: &str| fs::read_dir(root().join(path)).expect("the folder");
    let folders = ["", "/edge", "/forward", "/gate", "/whip"];
    let entries = folders.into_iter().flat_map(|name| folder(&format!("gateway/src/http{name}")));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Method and path of every route in them.
fn routes() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for file in http_sources() {
        let source = fs::read_to_string(file).expect("a source");
        let path = |rest: &str| match rest.split('"').next().expect("the path's end") {
            // The one of a scope itself.
            "" => "/{stream}".to_owned(),
            path => path.to_owned(),
        };
        for rest in source.split("readable(\"").skip(1) {
            routes.insert(format!("GET {}", path(rest)));
        }
        for rest in source.split("only(Method::").skip(1) {
            let (method, rest) = rest.split_once(", \"").expect("a path");
            routes.insert(format!("{method} {}", path(rest)));
        }
        for resource in source.split("web::resource(\"").skip(1) {
            let methods = resource.split(".default_service").next().expect("its routes");
            for rest in methods.split(".route(web::").skip(1) {
                let method = rest.split('(').next().expect("a method").to_uppercase();
                if method != "HEAD" {
                    routes.insert(format!("{method} {}", path(resource)));
                }
            }
        }
    }
    routes
}

#[test]
fn the_openapi_file_has_every_route_and_no_other() {
    let text = read("docs/openapi.json");
    let api: Value = serde_json::from_str(&text).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"]
            .into_iter()
            .filter(|method| item.get(method).is_some())
        {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(described, routes());
    assert!(described.len() > 10);
    let schemas: BTreeSet<&str> =
        api["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    let used =
        text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(used.collect::<BTreeSet<_>>(), schemas);
}

/// Every field that `value` must have by the schema, and none that is not in it.
#[track_caller]
fn assert_fits(schema: &Value, value: &Value) {
    let fields: BTreeSet<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    let described: BTreeSet<&str> =
        schema["properties"].as_object().expect("an object").keys().map(String::as_str).collect();
    let required: BTreeSet<&str> =
        schema["required"].as_array().expect("an array").iter().filter_map(Value::as_str).collect();
    assert!(required.is_subset(&fields) && fields.is_subset(&described), "{value} is not {schema}");
}

#[test]
fn a_declaration_has_the_fields_that_the_openapi_file_says() {
    let api: Value = serde_json::from_str(&read("docs/openapi.json")).expect("JSON");
    let schemas = &api["components"]["schemas"];
    let cluster = Cluster::launch("echo-inputs");
    let stream = &http::get(&cluster.page("/api/streams")).unwrap().json()["streams"][0];
    assert_fits(&schemas["Stream"], stream);
    let inputs = stream["inputs"].as_array().unwrap();
    for input in inputs {
        let of_its_type = |schema: &&Value| schema["properties"]["type"]["const"] == input["type"];
        assert_fits(schemas.as_object().unwrap().values().find(of_its_type).unwrap(), input);
    }
    assert_eq!(inputs.iter().map(|input| input["type"].as_str()).collect::<BTreeSet<_>>().len(), 6);
    stream["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|output| assert_fits(&schemas["Output"], output));
}

#[test]
fn the_http_page_has_every_route_and_no_other() {
    let page = read("docs/http-api.md");
    let methods = ["GET ", "POST ", "PUT ", "PATCH ", "DELETE "];
    let told: BTreeSet<String> = mentions(&page)
        .into_iter()
        .filter(|mention| methods.iter().any(|method| mention.starts_with(method)))
        .map(|mention| mention.split('?').next().unwrap().replace("NAME", "{stream}"))
        .collect();
    assert_eq!(told, routes());
}

#[test]
fn the_http_page_and_the_openapi_file_have_every_error() {
    let sources: String =
        http_sources().iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
    let failed = sources.split("StatusCode::").skip(1).filter_map(|rest| {
        let (status, rest) = rest.split_once(',')?;
        let plain = status.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        rest.trim_start().strip_prefix('"').filter(|_| plain)
    });
    let others = ["unavailable(\"", "\"error\": \""]
        .into_iter()
        .flat_map(|before| sources.split(before).skip(1));
    // Those of offers have names that the data channel shares.
    let refusals = read("gateway/src/media/refused.rs");
    let table = refusals
        .split("fn error(")
        .nth(1)
        .and_then(|rest| rest.split("\n    }").next())
        .expect("the table");
    let errors: BTreeSet<String> = failed
        .chain(others)
        .chain(table.split("=> \"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .filter(|error| error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .map(str::to_owned)
        .collect();
    let api: Value = serde_json::from_str(&read("docs/openapi.json")).expect("JSON");
    let described = &api["components"]["schemas"]["Failure"]["properties"]["meta"]["properties"]["error"]
        ["enum"];
    let described: BTreeSet<String> = serde_json::from_value(described.clone()).expect("texts");
    assert_eq!(described, errors);
    let page = read("docs/http-api.md");
    let told: BTreeSet<&str> = mentions(&page).into_iter().collect();
    assert!(
        errors.len() > 5 && errors.iter().all(|error| told.contains(error.as_str())),
        "{errors:?}"
    );
}

#[test]
fn the_http_page_has_every_message_and_no_other() {
    let types = |text: &str| -> BTreeSet<String> {
        let types =
            text.split("\"type\":").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
        types.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let source = read("gateway/src/browser/messages.rs");
    let sent = types(source.split("#[cfg(test)]").next().unwrap());
    let page = read("docs/http-api.md");
    let told = types(page.split_once("### Data channel").unwrap().1);
    assert_eq!(told, sent);
    assert!(sent.len() > 5);
}

#[test]
fn every_example_is_shown_as_it_is() {
    let mut shown = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        for (path, rest) in
            text.split("<!-- ").skip(1).filter_map(|rest| rest.split_once(" -->\n```rust\n"))
        {
            let block = rest.split_once("```").expect("the block's end").0;
            assert_eq!(block, read(path), "{document} shows another {path}");
            shown.insert(path.to_owned());
        }
    }
    let folder = fs::read_dir(root().join("worker/examples")).expect("the folder");
    let examples = folder
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"));
    let examples: BTreeSet<String> =
        examples.map(|name| format!("worker/examples/{name}")).collect();
    assert_eq!(shown, examples);
}

#[test]
fn every_hop_opens_with_its_header() {
    let hops = [
        ("gateway/src/browser/peer/tracks.rs", "//! Hop 1 of 10:"),
        ("gateway/src/pipeline/ingress.rs", "//! Hop 2 of 10:"),
        ("gateway/src/media/frame.rs", "//! Hop 3 of 10:"),
        ("gateway/src/workers/link/send.rs", "//! Hop 4 of 10:"),
        ("worker/src/server/service.rs", "//! Hop 5 of 10:"),
        ("worker/src/runner/mod.rs", "//! Hop 6 of 10:"),
        ("gateway/src/workers/link/recv.rs", "//! Hop 7 of 10:"),
        ("gateway/src/pipeline/pacer/mod.rs", "//! Hop 8 of 10:"),
        ("gateway/src/pipeline/egress.rs", "//! Hop 9 of 10:"),
        ("gateway/src/browser/peer/frame_sender.rs", "//! Hop 10 of 10:"),
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
