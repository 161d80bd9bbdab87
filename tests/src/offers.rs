//! The corpus of offers (`tests/corpus/offers`), and what its table says that each is answered.
//!
//! The gateway's own tests include this file (`gateway/src/browser/peer/mod.rs`), so it uses
//! nothing of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/offers");

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// The offer's file, without its ending.
    pub offer: String,
    /// Of the stream that it is made to, as `--mode` has it.
    pub mode: String,
    /// Of HTTP.
    pub status: u16,
    /// Name and payload type; `-` in a refusal, as the next.
    pub codec: String,
    /// Our role in DTLS.
    pub setup: String,
    /// Each section's kind, and the direction of its answer, or `refused`; or the refusal's reason.
    pub answer: String,
}

impl Expected {
    /// As it stands in the table.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { offer, mode, status, codec, setup, answer } = self;
        [offer, mode, &status.to_string(), codec, setup, answer].map(String::as_str).join("\t")
    }

    fn read(line: &str) -> Self {
        let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let columns: Result<[String; 6], _> = columns.try_into();
        let [offer, mode, status, codec, setup, answer] =
            columns.unwrap_or_else(|_| panic!("six columns: {line}"));
        let status = status.parse().expect("a status");
        Self { offer, mode, status, codec, setup, answer }
    }
}

/// The offers, by name.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn corpus() -> BTreeMap<String, String> {
    let files = fs::read_dir(FOLDER).expect("the corpus").map(|file| file.expect("a file").path());
    let offers = files.filter(|path| path.extension().is_some_and(|extension| extension == "sdp"));
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    offers.map(|path| (name(&path), fs::read_to_string(&path).expect("an offer"))).collect()
}

/// The table, which names every offer of the corpus, and no other.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn expected() -> Vec<Expected> {
    let table = fs::read_to_string(Path::new(FOLDER).join("expected.tsv")).expect("the table");
    let expected: Vec<Expected> = table.lines().skip(1).map(Expected::read).collect();
    let named: BTreeSet<&str> = expected.iter().map(|line| line.offer.as_str()).collect();
    let corpus = corpus();
    let there: BTreeSet<&str> = corpus.keys().map(String::as_str).collect();
    let difference: Vec<_> = named.symmetric_difference(&there).collect();
    assert!(difference.is_empty(), "only in the table, or only in the folder: {difference:?}");
    expected
}
