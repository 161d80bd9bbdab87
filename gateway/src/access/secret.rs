//! A secret text that is compared.

use ring::digest::{SHA256, digest};

/// The shortest secret of a file.
const MIN_CHARS: usize = 16;

/// Its text is not shown by `Debug`.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// It is empty, or can be guessed.
    pub(crate) fn from_file(text: &str) -> Result<Self, String> {
        let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
        match line.ok_or("its first line is empty")? {
            short if short.len() < MIN_CHARS => Err(format!(
                "its first line has fewer than {MIN_CHARS} characters; `openssl rand -hex 32` makes a \
                 good one"
            )),
            line => Ok(Self::new(line)),
        }
    }

    /// Whether `given` is the secret. How long that takes says nothing of it: two digests are
    /// compared, and nobody can choose one.
    pub(crate) fn is(&self, given: &str) -> bool {
        let [ours, theirs] = [&self.0, given].map(|text| digest(&SHA256, text.as_bytes()));
        ours.as_ref() == theirs.as_ref()
    }

    /// To print it at the start.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_itself_and_nothing_else() {
        let secret = Secret::from_file(" tell nobody at all \nsecond line\n").unwrap();
        assert!(secret.is("tell nobody at all"));
        for other in ["", "tell", "tell nobody at all ", "tell nobody at all\n"] {
            assert!(!secret.is(other), "{other:?}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
        for weak in ["\nsecret", "short"] {
            assert!(Secret::from_file(weak).is_err(), "{weak:?}");
        }
    }
}
