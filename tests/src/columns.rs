//! Comments of at most 100 columns: rustfmt holds the code to `max_width`, but wraps no comment.

use std::fs;
use std::path::Path;

use crate::layers::files;

const MAX_COLUMNS: usize = 100;

#[test]
fn comments_have_at_most_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    for folder in
        ["gateway", "worker", "tests/src", "tests/e2e", "proto/src", "proto/tls", "proto/trace"]
    {
        files(&root.join(folder), &mut paths);
    }
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source");
        // A table's row cannot be wrapped; `prost` writes its comments in one line.
        let long = text.lines().enumerate().find(|(_, line)| {
            let comment = line.trim_start();
            line.chars().count() > MAX_COLUMNS
                && comment.starts_with("//")
                && !comment.contains("! |")
                && !text.starts_with("// This file is @generated")
        });
        if let Some((line, _)) = long {
            panic!("{}:{}: a comment of over 100 columns: wrap it", path.display(), line + 1);
        }
    }
}
