//! Controls for texts.

use reframe_proto::MAX_INPUT_CHARS;

use super::{About, described, explained};

/// A text. A handler gets a `String`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Textbox {
    pub(crate) about: About,
    pub(crate) value: String,
    pub(crate) max_length: u32,
    pub(crate) lines: u32,
    pub(crate) placeholder: String,
}

impl Textbox {
    /// The longest text, in characters, that `max_length` may allow.
    const MOST: u32 = 4096;

    /// An empty text, of one line and up to 4096 characters.
    pub fn new(name: impl Into<String>) -> Self {
        let (value, placeholder) = (String::new(), String::new());
        Self { about: About::new(name), value, max_length: Self::MOST, lines: 1, placeholder }
    }

    /// The initial text.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// The longest text that may be entered, in characters; at most 4096.
    pub fn max_length(mut self, characters: u32) -> Self {
        self.max_length = characters;
        self
    }

    /// Rows of the control.
    pub fn lines(mut self, lines: u32) -> Self {
        self.lines = lines;
        self
    }

    /// What the control shows while it is empty.
    pub fn placeholder(mut self, placeholder: impl Into<String>) -> Self {
        self.placeholder = placeholder.into();
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=Self::MOST).contains(&self.max_length) {
            return Err(format!(
                "max_length {} is not 1 to {} characters",
                self.max_length,
                Self::MOST
            ));
        }
        let characters = self.value.chars().count();
        if characters > self.max_length as usize {
            return Err(format!(
                "its value has {characters} characters, over its max_length {}",
                self.max_length
            ));
        }
        if self.lines == 0 {
            return Err("it needs a line at least".to_owned());
        }
        Ok(())
    }
}

const _: () = assert!(Textbox::MOST as usize == MAX_INPUT_CHARS);

/// One of several texts. A handler gets a `String`.
///
/// ```
/// # use reframe_worker::Dropdown;
/// Dropdown::new("style", ["edges", "blur"]).value("blur");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Dropdown {
    pub(crate) about: About,
    pub(crate) choices: Vec<String>,
    pub(crate) value: Option<String>,
}

impl Dropdown {
    /// A choice of `choices`, of which the first is chosen.
    pub fn new(name: impl Into<String>, choices: impl IntoIterator<Item: Into<String>>) -> Self {
        Self {
            about: About::new(name),
            choices: choices.into_iter().map(Into::into).collect(),
            value: None,
        }
    }

    /// The initial choice.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// The initial choice. Only an empty dropdown has none, and a stream may not declare that.
    pub(crate) fn first(&self) -> &str {
        self.value.as_ref().or_else(|| self.choices.first()).map_or("", String::as_str)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.choices.is_empty() {
            return Err("it has no choices".to_owned());
        }
        for (index, choice) in self.choices.iter().enumerate() {
            if self.choices[..index].contains(choice) {
                return Err(format!("the choice {choice:?} is there twice"));
            }
            if choice.chars().count() > MAX_INPUT_CHARS {
                return Err(format!("a choice has over {MAX_INPUT_CHARS} characters"));
            }
        }
        if !self.choices.iter().any(|choice| choice == self.first()) {
            return Err(format!("its value {:?} is none of its choices", self.first()));
        }
        Ok(())
    }
}

described!(Textbox, Dropdown);
explained!(Textbox, Dropdown);
