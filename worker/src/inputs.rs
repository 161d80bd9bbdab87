//! The values that the person in front of the browser has set.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::components::{InputComponent, InputValue, colour};

/// The values of a stream's inputs at one moment, by name: the declared ones, or what the client
/// has set since.
///
/// A snapshot: it does not change. [`Session::inputs`](crate::Session::inputs) has the newest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs(Arc<HashMap<String, InputValue>>);

/// Why an input cannot be read as the requested type. Both are mistakes in the handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The stream declares no such input.
    #[error("the stream has no input {name:?}")]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// The value does not fit the type: a text for a number, -1 for a `u32`.
    #[error("the input {name:?} is {value}, which is no {wanted}")]
    Type {
        /// The input's name.
        name: String,
        /// Its value.
        value: String,
        /// The requested Rust type.
        wanted: &'static str,
    },
}

impl Inputs {
    pub(crate) fn declared(components: &[InputComponent]) -> Self {
        let value =
            |component: &InputComponent| (component.about().name.clone(), component.first());
        Self(Arc::new(components.iter().map(value).collect()))
    }

    /// A copy of these values, replaced by those in `set`.
    pub(crate) fn with(&self, set: impl IntoIterator<Item = (String, InputValue)>) -> Self {
        let mut values = HashMap::clone(&self.0);
        values.extend(set);
        Self(Arc::new(values))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&InputValue> {
        self.0.get(name)
    }

    /// The value of an input: `f64`, `f32`, an integer or `usize` for a number (rounded, because a
    /// client may set any number within the bounds), `bool` for a checkbox, `String` for a text,
    /// choice or colour, `[u8; 3]` for a colour.
    ///
    /// ```
    /// # use reframe_worker::{Frame, HandlerError, Session};
    /// fn detect(frame: Frame, session: &Session) -> Result<Frame, HandlerError> {
    ///     let threshold: f32 = session.inputs().get("conf_threshold")?;
    ///     # let _ = threshold;
    ///     Ok(frame)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When the stream declares no such input, or when its value does not fit the type.
    pub fn get<T: FromInput>(&self, name: &str) -> Result<T, InputError> {
        let value =
            self.value(name).ok_or_else(|| InputError::Unknown { name: name.to_owned() })?;
        T::from_input(value).ok_or_else(|| InputError::Type {
            name: name.to_owned(),
            value: value.to_string(),
            wanted: std::any::type_name::<T>().rsplit("::").next().unwrap_or_default(),
        })
    }
}

impl InputValue {
    pub(crate) const fn same_type(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Number(_), Self::Number(_))
                | (Self::Flag(_), Self::Flag(_))
                | (Self::Text(_), Self::Text(_))
        )
    }
}

impl fmt::Display for InputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A type that an input's value converts into: see [`Inputs::get`].
#[diagnostic::on_unimplemented(
    message = "an input has no value of type `{Self}`",
    note = "it has f64, f32, i64, i32, u8, u16, u32, u64, usize, bool, String or [u8; 3]"
)]
pub trait FromInput: sealed::FromInput {}

impl<T: sealed::FromInput> FromInput for T {}

mod sealed {
    /// Sealed: the kinds of values are those of the wire.
    pub trait FromInput: Sized {
        fn from_input(value: &super::InputValue) -> Option<Self>;
    }
}

macro_rules! from_number {
    ($($number:ty: $convert:expr),*) => {$(
        impl sealed::FromInput for $number {
            fn from_input(value: &InputValue) -> Option<Self> {
                let InputValue::Number(number) = value else { return None };
                $convert(*number)
            }
        }
    )*};
}

from_number! {
    f64: Some,
    f32: narrow,
    i64: whole,
    u8: |number| whole(number)?.try_into().ok(),
    u16: |number| whole(number)?.try_into().ok(),
    i32: |number| whole(number)?.try_into().ok(),
    u32: |number| whole(number)?.try_into().ok(),
    u64: |number| whole(number)?.try_into().ok(),
    usize: |number| whole(number)?.try_into().ok()
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is what is asked for")]
fn narrow(number: f64) -> Option<f32> {
    Some(number as f32)
}

/// The nearest integer. A `f64` above 2^53 does not represent every integer.
#[expect(clippy::cast_possible_truncation, reason = "in range")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    (number.abs() <= EXACT).then_some(number.round() as i64)
}

impl sealed::FromInput for bool {
    fn from_input(value: &InputValue) -> Option<Self> {
        if let InputValue::Flag(flag) = value { Some(*flag) } else { None }
    }
}

impl sealed::FromInput for String {
    fn from_input(value: &InputValue) -> Option<Self> {
        if let InputValue::Text(text) = value { Some(text.as_ref().to_owned()) } else { None }
    }
}

impl sealed::FromInput for [u8; 3] {
    fn from_input(value: &InputValue) -> Option<Self> {
        if let InputValue::Text(text) = value { colour(text) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::{Checkbox, ColorPicker, Dropdown, Number, Slider};

    fn inputs() -> Inputs {
        Inputs::declared(&[
            Slider::new("gain", 0.0..=2.0).value(0.5).into(),
            Number::new("count").minimum(-5.0).value(-3.0).into(),
            Checkbox::new("grey").value(true).into(),
            Dropdown::new("style", ["edges", "blur"]).into(),
            ColorPicker::new("ink").value("#ff8001").into(),
        ])
    }

    fn error<T: FromInput + fmt::Debug>(name: &str) -> String {
        inputs().get::<T>(name).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_has_its_types() {
        let inputs = inputs();
        assert_eq!(inputs.get("gain"), Ok(0.5_f64));
        assert_eq!(inputs.get("gain"), Ok(0.5_f32));
        assert_eq!((inputs.get("count"), inputs.get("count")), (Ok(-3_i64), Ok(-3_i32)));
        assert_eq!(inputs.get("grey"), Ok(true));
        assert_eq!(inputs.get("style"), Ok("edges".to_owned()));
        assert_eq!(inputs.get("ink"), Ok([255, 128, 1]));
        assert_eq!(inputs.get("ink"), Ok("#ff8001".to_owned()));
    }

    #[test]
    fn an_error_names_the_input_and_the_type() {
        assert_eq!(error::<f64>("glow"), "the stream has no input \"glow\"");
        assert_eq!(error::<u32>("count"), "the input \"count\" is -3, which is no u32");
        assert_eq!(error::<usize>("count"), "the input \"count\" is -3, which is no usize");
        assert_eq!(error::<bool>("gain"), "the input \"gain\" is 0.5, which is no bool");
        assert_eq!(error::<f32>("style"), "the input \"style\" is \"edges\", which is no f32");
        assert_eq!(
            error::<[u8; 3]>("style"),
            "the input \"style\" is \"edges\", which is no [u8; 3]"
        );
        assert_eq!(error::<String>("grey"), "the input \"grey\" is true, which is no String");
    }

    #[test]
    fn a_whole_number_is_the_nearest_or_an_error() {
        for (number, expected) in [
            (3.0, Ok(3)),
            (2.5, Ok(3)),
            (95.4, Ok(95)),
            (-1.0, Err(())),
            (1e15, Ok(1_000_000_000_000_000)),
            (1e300, Err(())),
            (f64::NAN, Err(())),
        ] {
            let inputs = inputs().with([("count".to_owned(), InputValue::Number(number))]);
            assert_eq!(inputs.get::<u64>("count").map_err(drop), expected, "{number}");
        }
    }

    #[test]
    fn what_is_set_replaces_what_is_declared() {
        let declared = inputs();
        let set = declared.with([("gain".to_owned(), InputValue::Number(2.0))]);
        assert_eq!(
            (declared.get("gain"), set.get("gain"), set.get("count")),
            (Ok(0.5), Ok(2.0), Ok(-3))
        );
    }
}
