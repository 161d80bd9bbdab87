//! Constants of JavaScript and of Rust, read from the text of the program that has them: a model
//! that has numbers of its own is right until somebody changes the program.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The text of a file of the program.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// For the text of a failure.
    pub name: &'static str,
    /// All of it.
    pub text: &'static str,
}

impl Source {
    /// What stands between `const NAME` (with a type, or without) and the semicolon.
    ///
    /// # Panics
    /// When there is no such constant: it has another name now, and its readers must follow.
    #[must_use]
    pub fn constant(self, name: &str) -> &'static str {
        let value = self.text.match_indices("const ").find_map(|(at, keyword)| {
            let rest = self.text[at + keyword.len()..].strip_prefix(name)?;
            // Not the beginning of a longer name.
            let rest = rest.trim_start().strip_prefix(['=', ':'])?;
            let (value, _) = rest.split_once(';')?;
            Some(value.split_once("= ").map_or(value, |(_, value)| value).trim())
        });
        value.unwrap_or_else(|| panic!("{} has no constant {name}", self.name))
    }

    /// A number.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn number(self, name: &str) -> u64 {
        self.parsed(name, self.constant(name))
    }

    /// A number of milliseconds.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn millis(self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// A list of numbers of milliseconds, `[1, 2]`.
    ///
    /// # Panics
    /// When it is none, or empty.
    #[must_use]
    pub fn list_of_millis(self, name: &str) -> Vec<Duration> {
        self.list(name).iter().map(|item| Duration::from_millis(self.parsed(name, item))).collect()
    }

    /// A list of texts, `["a", "b"]`.
    ///
    /// # Panics
    /// When it is none, or empty.
    #[must_use]
    pub fn list_of_texts(self, name: &str) -> Vec<&'static str> {
        self.list(name).into_iter().map(|item| item.trim_matches('"')).collect()
    }

    /// The number of milliseconds that an object `{ key: 1, … }` has at `key`.
    ///
    /// # Panics
    /// When the object has no such key.
    #[must_use]
    pub fn millis_at(self, name: &str, key: &str) -> Duration {
        let object = self.constant(name).trim_matches(['{', '}', ' ']);
        let mut fields = object.split(',').filter_map(|field| field.split_once(':'));
        let value = fields.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim());
        let value = value.unwrap_or_else(|| panic!("{}: {name} has no {key}", self.name));
        Duration::from_millis(self.parsed(name, value))
    }

    /// `Duration::from_secs(1)`.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn seconds(self, name: &str) -> Duration {
        let value = self.constant(name);
        let seconds =
            value.strip_prefix("Duration::from_secs(").and_then(|value| value.strip_suffix(')'));
        Duration::from_secs(self.parsed(name, seconds.unwrap_or(value)))
    }

    /// `1..=3`.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn range(self, name: &str) -> RangeInclusive<u32> {
        let value = self.constant(name);
        let (from, to) =
            value.split_once("..=").unwrap_or_else(|| panic!("{}: {name} is {value}", self.name));
        self.parsed(name, from)..=self.parsed(name, to)
    }

    /// Fails unless this very text is in it: what is done with the constants.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect(self, text: &str) {
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        assert!(plain(self.text).contains(&plain(text)), "{} has no longer: {text}", self.name);
    }

    fn list(self, name: &str) -> Vec<&'static str> {
        let value = self.constant(name);
        let items = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        let items = items.unwrap_or_else(|| panic!("{}: {name} is no list: {value}", self.name));
        items.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    fn parsed<T: FromStr>(self, name: &str, value: &str) -> T {
        let digits = value.trim().replace('_', "");
        digits.parse().unwrap_or_else(|_| panic!("{}: {name} is no number: {value}", self.name))
    }
}
