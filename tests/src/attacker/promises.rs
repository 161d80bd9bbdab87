//! What `docs/security.md` promises, row by row.

const PAGE: &str = include_str!("../../../docs/security.md");
/// What the tables of promises begin with; there are others.
const HEAD: &str = "| promise | bound | test |";

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The title above its table.
    pub section: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// In numbers.
    pub bound: &'static str,
    /// What holds it: files, tests and attacks.
    pub test: &'static str,
}

impl Row {
    /// The names behind the word "attack" in the test's cell.
    pub fn attacks(&self) -> impl Iterator<Item = &'static str> {
        self.test.split("attack `").skip(1).filter_map(|rest| rest.split('`').next())
    }
}

/// All of them, in the page's order.
#[must_use]
pub fn rows() -> Vec<Row> {
    let (mut rows, mut section, mut within) = (Vec::new(), "", false);
    for line in PAGE.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        within = line == HEAD || within && line.starts_with('|');
        let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let cells = cells.filter(|cells| within && line != HEAD && !cells.starts_with('-'));
        let mut cells = cells.into_iter().flat_map(|cells| cells.split('|')).map(str::trim);
        if let (Some(promise), Some(bound), Some(test)) = (cells.next(), cells.next(), cells.next())
        {
            rows.push(Row { section, promise, bound, test });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_promises_and_other_tables() {
        let rows = rows();
        assert!(rows.len() > 30, "{} rows", rows.len());
        assert!(rows.iter().all(|row| !row.section.is_empty()
            && !row.promise.is_empty()
            && row.section != "Not defended"));
        assert!(rows.iter().any(|row| row.bound.is_empty()), "one has no number");
        assert!(
            rows.iter().all(|row| row.section != "Who can reach what"),
            "that table promises nothing"
        );
        let row = Row { test: "`a.rs` `b_c`; attack `one`, attack `two-three`", ..rows[0] };
        assert_eq!(row.attacks().collect::<Vec<_>>(), ["one", "two-three"]);
    }
}
