//! Controls: what the person in front of the browser may set.

use super::value::{InputValue, colour};
use super::{About, Dropdown, Number, Slider, Textbox, described, explained};

/// A checkbox. A handler gets a `bool`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Checkbox {
    pub(crate) about: About,
    pub(crate) value: bool,
}

impl Checkbox {
    /// A box that is not checked.
    pub fn new(name: impl Into<String>) -> Self {
        Self { about: About::new(name), value: false }
    }

    /// Whether it is checked at first.
    pub fn value(mut self, value: bool) -> Self {
        self.value = value;
        self
    }
}

/// A colour. A handler gets `[u8; 3]`, red, green and blue, or a `String` like `#ff8000`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ColorPicker {
    pub(crate) about: About,
    pub(crate) value: String,
}

impl ColorPicker {
    /// A colour, black at first.
    pub fn new(name: impl Into<String>) -> Self {
        Self { about: About::new(name), value: "#000000".to_owned() }
    }

    /// The initial colour, as `#rrggbb`.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    fn check(&self) -> Result<(), String> {
        colour(&self.value)
            .map(drop)
            .ok_or_else(|| format!("its value {:?} is not #rrggbb", self.value))
    }
}

described!(Checkbox, ColorPicker);
explained!(Checkbox, ColorPicker);

/// Any input; every kind converts into it.
///
/// A list of one kind needs no conversion, a list of several kinds does:
///
/// ```
/// # use reframe_worker::{Checkbox, InputComponent, Slider};
/// let inputs: [InputComponent; 2] =
///     [Slider::new("gain", 0.0..=2.0).into(), Checkbox::new("grey").into()];
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InputComponent {
    /// A slider.
    Slider(Slider),
    /// A number.
    Number(Number),
    /// A checkbox.
    Checkbox(Checkbox),
    /// A text.
    Textbox(Textbox),
    /// One of several texts.
    Dropdown(Dropdown),
    /// A colour.
    ColorPicker(ColorPicker),
}

macro_rules! inputs {
    ($($kind:ident),*) => {
        $(
            impl From<$kind> for InputComponent {
                fn from(component: $kind) -> Self {
                    Self::$kind(component)
                }
            }
        )*

        impl InputComponent {
            pub(crate) const fn about(&self) -> &About {
                match self {
                    $(Self::$kind(component) => &component.about,)*
                }
            }
        }
    };
}
inputs!(Slider, Number, Checkbox, Textbox, Dropdown, ColorPicker);

impl InputComponent {
    /// The value until a client sets one.
    pub(crate) fn first(&self) -> InputValue {
        match self {
            Self::Slider(slider) => InputValue::Number(slider.value),
            Self::Number(number) => InputValue::Number(number.first()),
            Self::Checkbox(checkbox) => InputValue::Flag(checkbox.value),
            Self::Textbox(textbox) => InputValue::Text(textbox.value.as_str().into()),
            Self::Dropdown(dropdown) => InputValue::Text(dropdown.first().into()),
            Self::ColorPicker(picker) => InputValue::Text(picker.value.as_str().into()),
        }
    }

    /// What is wrong with the declaration.
    pub(crate) fn check(&self) -> Result<(), String> {
        let checked = match self {
            Self::Slider(slider) => slider.check(),
            Self::Number(number) => number.check(),
            Self::Checkbox(_) => Ok(()),
            Self::Textbox(textbox) => textbox.check(),
            Self::Dropdown(dropdown) => dropdown.check(),
            Self::ColorPicker(picker) => picker.check(),
        };
        checked.map_err(|problem| format!("input {:?}: {problem}", self.about().name))
    }
}
