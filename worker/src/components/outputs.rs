//! Displays: what a handler returns beside its picture, and how the page shows it.

use serde_json::Value;

use super::{About, Number, described};

macro_rules! output {
    ($(#[$doc:meta])* $kind:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[must_use]
        pub struct $kind {
            pub(crate) about: About,
        }

        impl $kind {
            /// Shows the value at the same index of
            /// [`AdditionalOutputs`](crate::AdditionalOutputs).
            pub fn new(name: impl Into<String>) -> Self {
                Self { about: About::new(name) }
            }
        }
    };
}

output! {
    /// A text: a handler returns a string.
    Text
}
output! {
    /// A class, or several with their confidence: a handler returns a string, or an object of label
    /// to a number from 0 to 1.
    Label
}
output! {
    /// Any JSON value.
    Json
}

/// A curve: a handler returns a number, which is appended; or an array of numbers or of `[x, y]`,
/// which replaces what was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct LinePlot {
    pub(crate) about: About,
    pub(crate) points: u32,
}

impl LinePlot {
    /// A curve of the newest 100 values.
    pub fn new(name: impl Into<String>) -> Self {
        Self { about: About::new(name), points: 100 }
    }

    /// How many of the newest values are shown.
    pub fn points(mut self, points: u32) -> Self {
        self.points = points;
        self
    }
}

described!(Text, Label, Json, LinePlot);

/// Any output; every kind converts into it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OutputComponent {
    /// A number.
    Number(Number),
    /// A text.
    Text(Text),
    /// A class, or several with their confidence.
    Label(Label),
    /// Any JSON value.
    Json(Json),
    /// A curve.
    LinePlot(LinePlot),
}

macro_rules! outputs {
    ($($kind:ident),*) => {
        $(
            impl From<$kind> for OutputComponent {
                fn from(component: $kind) -> Self {
                    Self::$kind(component)
                }
            }
        )*

        impl OutputComponent {
            pub(crate) const fn about(&self) -> &About {
                match self {
                    $(Self::$kind(component) => &component.about,)*
                }
            }
        }
    };
}
outputs!(Number, Text, Label, Json, LinePlot);

impl OutputComponent {
    /// What is wrong with the declaration.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::LinePlot(LinePlot { about, points: 0 }) => {
                Err(format!("output {:?}: it shows no points", about.name))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a value for it.
    pub(crate) fn check_value(&self, value: &Value) -> Result<(), String> {
        let (fits, wanted) = match self {
            Self::Number(_) => (value.is_number(), "a number"),
            Self::Text(_) => (value.is_string(), "a text"),
            Self::Label(_) => (
                value.is_string() || is_confidences(value),
                "a text, or an object of label to a number from 0 to 1",
            ),
            Self::Json(_) => (true, ""),
            Self::LinePlot(_) => (
                value.is_number() || is_curve(value),
                "a number, or an array of numbers or of [x, y]",
            ),
        };
        if fits {
            Ok(())
        } else {
            Err(format!("output {:?}: {} is not {wanted}", self.about().name, kind(value)))
        }
    }
}

fn is_confidences(value: &Value) -> bool {
    let confidence =
        |value: &Value| value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number));
    value.as_object().is_some_and(|labels| labels.values().all(confidence))
}

/// All numbers or all pairs.
fn is_curve(value: &Value) -> bool {
    let pair = |point: &Value| matches!(point.as_array().map(Vec::as_slice), Some([x, y]) if x.is_number() && y.is_number());
    let curve =
        |points: &Vec<Value>| points.iter().all(Value::is_number) || points.iter().all(pair);
    value.as_array().is_some_and(curve)
}

/// The kind of a value, for a message: the value itself could be long.
const fn kind(value: &Value) -> &'static str {
    match value {
        // NaN and infinite numbers are `null` in JSON too.
        Value::Null => "null (or NaN)",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
