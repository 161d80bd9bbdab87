//! The folders of each crate, and what each may import: only folders below it. Read from the
//! sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder or a file of a crate's root, and the ones that it may import, separated by spaces.
type Layer = (&'static str, &'static str);

/// From the top down. A folder may only name folders further down in this list.
const GATEWAY: &[Layer] = &[
    ("app", "http gateway session browser workers config threads telemetry codec"),
    ("fuzz", "browser pipeline stream media codec"),
    ("bench", "browser pipeline workers stream config media telemetry codec"),
    ("http", "gateway browser workers stream config media telemetry codec access shares"),
    (
        "gateway",
        "viewer session browser workers stream config threads media telemetry codec shares",
    ),
    ("viewer", "session browser pipeline stream threads media telemetry codec"),
    ("session", "browser pipeline workers stream threads media telemetry codec shares"),
    ("browser", "pipeline stream config threads media telemetry codec shares"),
    ("pipeline", "workers threads media telemetry codec"),
    ("workers", "stream config media telemetry codec"),
    ("stream", "media telemetry"),
    ("config", "media telemetry codec access"),
    ("threads", "telemetry"),
    ("media", "telemetry codec"),
    ("telemetry", "codec"),
    ("codec", ""),
    ("access", ""),
    ("shares", ""),
];

/// As [`GATEWAY`]. The demos are a program of their own, which only uses what is public.
const WORKER: &[Layer] = &[
    ("bench", "convert message frame mode"),
    ("batch", "calls session newest message error"),
    ("cli", "check server stream"),
    ("check", "convert runner stream session inputs message error frame mode"),
    ("sources", "session error frame"),
    ("server", "convert runner stream calls session inputs message mode health"),
    ("convert", "stream inputs components message frame mode"),
    ("runner", "stream handler calls session components message newest health error frame mode"),
    ("stream", "handler session components mode"),
    ("handler", "calls session error frame mode"),
    ("calls", "session"),
    ("session", "inputs newest message health error"),
    ("newest", "message"),
    ("health", ""),
    ("inputs", "components"),
    ("components", ""),
    ("message", "error frame"),
    ("error", ""),
    ("frame", ""),
    ("mode", ""),
];

/// Files of one folder that import each other in a circle. Four can still be read together.
const MAX_CIRCLE: usize = 4;

/// One place where a file names another module of its crate.
struct Import {
    /// From the crate's root, without `.rs`; a folder's `mod.rs` is the folder.
    file: String,
    line: usize,
    /// The path behind `crate::`.
    path: String,
}

pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every import of a crate. Tests may import what they like, and the two roots put everything
/// together.
fn imports(source: &Path) -> Vec<Import> {
    let (mut paths, mut imports) = (Vec::new(), Vec::new());
    files(source, &mut paths);
    for path in paths {
        let file = path.strip_prefix(source).expect("below it").with_extension("");
        let file = file.to_str().expect("a UTF-8 name").trim_end_matches("/mod").to_owned();
        if ["lib", "main"].contains(&file.as_str())
            || file.starts_with("demos")
            || file.ends_with("tests")
        {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        // Tests within a file stand at its end; a line `mod tests;` is not the end.
        let inline = text.match_indices("\n#[cfg(test)]\n").find(|(at, cfg)| {
            text[at + cfg.len()..].lines().next().is_some_and(|line| line.ends_with(" {"))
        });
        let text = &text[..inline.map_or(text.len(), |(at, _)| at)];
        let inside: Vec<&str> = file.split('/').collect();
        for (line, code) in
            text.lines().enumerate().filter(|(_, code)| !code.trim_start().starts_with("//"))
        {
            for (prefix, base) in [("crate::", 0), ("super::", inside.len().saturating_sub(1))] {
                for (at, _) in code.match_indices(prefix) {
                    let before = code[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                        continue;
                    }
                    let rest = &code[at + prefix.len()..];
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
                    let named = rest[..end.unwrap_or(rest.len())]
                        .split("::")
                        .filter(|part| !part.is_empty());
                    let path: Vec<&str> = inside[..base].iter().copied().chain(named).collect();
                    imports.push(Import {
                        file: file.clone(),
                        line: line + 1,
                        path: path.join("/"),
                    });
                }
            }
        }
    }
    imports
}

fn root_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

fn check(source: &str, layers: &[Layer]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(source);
    for (index, (layer, below)) in layers.iter().enumerate() {
        for name in below.split_whitespace() {
            let known = layers[index + 1..].iter().any(|(lower, _)| *lower == name);
            assert!(
                known,
                "tests/src/layers.rs: `{layer}` may not import `{name}`, which is not below it"
            );
        }
    }
    let imports = imports(&folder);
    assert!(
        imports.len() > 100,
        "{source}: only {} imports found: is this still where the sources are?",
        imports.len()
    );
    for Import { file, line, path } in &imports {
        let (from, to) = (root_of(file), root_of(path));
        if from == to || !to.starts_with(|c: char| c.is_lowercase()) {
            continue;
        }
        let layer = layers.iter().find(|(layer, _)| *layer == from);
        let allowed = layer.map(|(_, below)| below.split_whitespace().any(|name| name == to));
        let problem = match allowed {
            Some(true) => continue,
            Some(false) => format!(
                "`{from}` may not import `{to}`. Move the type down to where both may import it \
                 (`media`, `config`), tell the other by a message, or, if `{to}` is below `{from}`, \
                 list it"
            ),
            None => format!("`{from}` is not in the list of folders: say what it may import"),
        };
        panic!("{source}/{file}.rs:{line}: {problem} in tests/src/layers.rs");
    }
    circles(source, &imports);
}

/// No more than [`MAX_CIRCLE`] files of one folder may import each other. What a `mod.rs` hands on
/// is not followed.
fn circles(source: &str, imports: &[Import]) {
    let files: BTreeSet<&str> = imports.iter().map(|import| import.file.as_str()).collect();
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Import { file, path, .. } in imports {
        let named = files.iter().copied().filter(|other| {
            path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if let Some(named) = named.max_by_key(|other| other.len()).filter(|named| named != file) {
            reached.entry(file).or_default().insert(named);
        }
    }
    loop {
        let before: usize = reached.values().map(BTreeSet::len).sum();
        for file in &files {
            let next = reached.get(file).cloned().unwrap_or_default();
            let further: BTreeSet<&str> =
                next.iter().filter_map(|other| reached.get(other)).flatten().copied().collect();
            reached.entry(file).or_default().extend(further);
        }
        if reached.values().map(BTreeSet::len).sum::<usize>() == before {
            break;
        }
    }
    for file in &files {
        let circle: Vec<&&str> =
            reached[file].iter().filter(|other| reached[*other].contains(file)).collect();
        assert!(
            circle.len() <= MAX_CIRCLE,
            "{source}: these files import each other in a circle; break it by moving what they \
             share into a file of its own: {circle:?}"
        );
    }
}

#[test]
fn the_gateway_imports_only_downwards() {
    check("gateway/src", GATEWAY);
}

#[test]
fn the_worker_imports_only_downwards() {
    check("worker/src", WORKER);
}
