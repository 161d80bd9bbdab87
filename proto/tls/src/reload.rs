//! A value that files make, and make again when they change.
//!
//! Files are compared by their contents, not by their times: Kubernetes swaps a link, other tools
//! copy over the file. Files that cannot be used leave the old value in place, and are told once
//! for each content.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::pem::LoadError;

/// Between two reads of the files. Certificates are renewed days before they expire.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A file, and the option that names it.
#[derive(Clone, Debug)]
pub struct File {
    /// The option, for messages.
    pub flag: &'static str,
    /// Its value.
    pub path: String,
}

/// What a file holds.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// Which one.
    pub file: &'a File,
    /// All of it.
    pub bytes: &'a [u8],
}

/// Makes the value of all files, in their order.
type Load<T> = Box<dyn Fn(&[Content<'_>]) -> Result<T, Vec<LoadError>> + Send + Sync>;

/// The value for new connections.
pub struct Reloaded<T> {
    current: RwLock<Arc<T>>,
    source: Option<Source<T>>,
}

struct Source<T> {
    files: Vec<File>,
    load: Load<T>,
    /// The contents at the last read; they may contain a key, so they are never printed.
    seen: Mutex<Vec<Vec<u8>>>,
}

/// What came of a look at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// They are as they were, or one is away for the moment.
    Same,
    /// There is another value.
    Renewed,
    /// They have changed and cannot be used: the old value stays.
    Unusable(String),
}

impl<T> Reloaded<T> {
    /// A value that does not change.
    pub fn fixed(value: T) -> Self {
        Self { current: RwLock::new(Arc::new(value)), source: None }
    }

    /// The value of `files`, which [`watch`] reads again.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_files(
        files: Vec<File>,
        load: impl Fn(&[Content<'_>]) -> Result<T, Vec<LoadError>> + Send + Sync + 'static,
    ) -> Result<Self, Vec<LoadError>> {
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        for file in &files {
            match fs::read(&file.path) {
                Ok(bytes) => seen.push(bytes),
                Err(error) => errors.push(LoadError::Read { file: file.clone(), error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let value = load(&contents(&files, &seen))?;
        let source = Source { files, load: Box::new(load), seen: Mutex::new(seen) };
        Ok(Self { current: RwLock::new(Arc::new(value)), source: Some(source) })
    }

    /// The value of one file of text.
    ///
    /// # Errors
    /// What is wrong with it: one line that names option and file.
    pub fn from_text(
        flag: &'static str,
        path: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Self, String>
    where
        T: 'static,
    {
        let file = File { flag, path: path.to_owned() };
        let load = move |contents: &[Content<'_>]| match contents {
            [content] => std::str::from_utf8(content.bytes)
                .map_err(|error| error.to_string())
                .and_then(parse)
                .map_err(|why| vec![LoadError::Unfit { file: content.file.clone(), why }]),
            _ => Err(Vec::new()),
        };
        let read = Self::from_files(vec![file], load);
        read.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Another value takes its place.
    pub fn replace(&self, value: T) {
        *self.current.write() = Arc::new(value);
    }

    /// Whether one of the files may be read by users other than its owner and group.
    #[must_use]
    pub fn readable_by_all(&self) -> bool {
        let files = self.source.as_ref().map(|source| &source.files[..]).unwrap_or_default();
        files.iter().any(|file| {
            fs::metadata(&file.path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
        })
    }

    /// The value now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read())
    }

    /// Uses the files if they have changed and are valid. Blocks on the disk.
    #[must_use]
    pub fn look(&self) -> Looked {
        let Some(Source { files, load, seen }) = &self.source else { return Looked::Same };
        // An error means that a file is being replaced, or that the disk is unavailable: the next
        // read decides.
        let read: Result<Vec<_>, _> = files.iter().map(|file| fs::read(&file.path)).collect();
        let Ok(read) = read else { return Looked::Same };
        let mut seen = seen.lock();
        if *seen == read {
            return Looked::Same;
        }
        let looked = match load(&contents(files, &read)) {
            Ok(value) => {
                *self.current.write() = Arc::new(value);
                Looked::Renewed
            }
            Err(errors) => {
                let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Looked::Unusable(problems.join("; "))
            }
        };
        *seen = read;
        looked
    }
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.source.as_ref().map(|source| &source.files);
        f.debug_struct("Reloaded").field("files", &files).finish_non_exhaustive()
    }
}

fn contents<'a>(files: &'a [File], bytes: &'a [Vec<u8>]) -> Vec<Content<'a>> {
    files.iter().zip(bytes).map(|(file, bytes)| Content { file, bytes }).collect()
}

/// Reads the files for ever, logs what came of it, and tells each look to `told`.
pub async fn watch<T: Send + Sync + 'static>(
    reloaded: Arc<Reloaded<T>>,
    mut told: impl FnMut(&Looked),
) {
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let looking = Arc::clone(&reloaded);
        // An error means that the runtime ends.
        let looked = tokio::task::spawn_blocking(move || looking.look()).await;
        let looked = looked.unwrap_or(Looked::Same);
        let files = reloaded.source.as_ref().map(|source| &source.files[..]).unwrap_or_default();
        let first = files.first().map_or("", |file| &file.path);
        match &looked {
            Looked::Same => {}
            Looked::Renewed => info!(file = first, "another version was read"),
            Looked::Unusable(problem) => {
                warn!(problem, "files have changed and cannot be used; what was read before stays")
            }
        }
        told(&looked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| format!("`{}` is not a number", text.trim()))
    }

    #[test]
    fn a_text_is_read_again_and_one_that_is_wrong_changes_nothing() {
        let path = std::env::temp_dir().join(format!("reframe-reload-{}", std::process::id()));
        let text = path.to_str().unwrap();
        let missing = Reloaded::from_text("--file", text, parse).unwrap_err();
        assert!(missing.starts_with("--file: cannot read `"), "{missing}");
        fs::write(&path, "1").unwrap();
        let reloaded = Reloaded::from_text("--file", text, parse).unwrap();
        for (text, value, looked) in [
            ("1", 1, Looked::Same),
            ("2", 2, Looked::Renewed),
            ("wrong", 2, Looked::Unusable(format!("--file: `{text}`: `wrong` is not a number"))),
            ("wrong", 2, Looked::Same),
            ("3", 3, Looked::Renewed),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!((reloaded.look(), *reloaded.current()), (looked, value), "{text}");
        }
        for (mode, all) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(reloaded.readable_by_all(), all, "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!((reloaded.look(), *reloaded.current()), (Looked::Same, 3));
    }
}
