//! Controls for numbers.

use std::ops::RangeInclusive;

use super::{About, described, explained};

/// A slider. A handler gets a number of any type.
///
/// ```
/// # use reframe_worker::Slider;
/// Slider::new("conf_threshold", 0.0..=1.0).step(0.01).value(0.3).label("Confidence");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Slider {
    pub(crate) about: About,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    pub(crate) step: f64,
    pub(crate) value: f64,
}

impl Slider {
    /// A slider over `range` with a hundred steps, at its lower end.
    pub fn new(name: impl Into<String>, range: RangeInclusive<f64>) -> Self {
        let (minimum, maximum) = range.into_inner();
        Self {
            about: About::new(name),
            minimum,
            maximum,
            step: (maximum - minimum) / 100.0,
            value: minimum,
        }
    }

    /// The distance between two positions. It only guides the control: a client may set any number
    /// in the range.
    pub fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    /// The initial value.
    pub fn value(mut self, value: f64) -> Self {
        self.value = value;
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Self { about: _, minimum, maximum, step, value } = *self;
        if !(minimum.is_finite() && maximum.is_finite() && minimum < maximum) {
            return Err(format!("{minimum} to {maximum} is no range"));
        }
        check_step(step)?;
        check_bounds(value, Some(minimum), Some(maximum))
    }
}

/// A number: an input, with or without bounds, or an output. A handler gets a number of any type,
/// and returns one.
///
/// ```
/// # use reframe_worker::Number;
/// Number::new("every").minimum(1.0).step(1.0).value(5.0).label("Every so many frames");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Number {
    pub(crate) about: About,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) step: Option<f64>,
    pub(crate) value: Option<f64>,
}

impl Number {
    /// A number without bounds.
    pub fn new(name: impl Into<String>) -> Self {
        Self { about: About::new(name), minimum: None, maximum: None, step: None, value: None }
    }

    /// The smallest allowed number.
    pub fn minimum(mut self, minimum: f64) -> Self {
        self.minimum = Some(minimum);
        self
    }

    /// The largest allowed number.
    pub fn maximum(mut self, maximum: f64) -> Self {
        self.maximum = Some(maximum);
        self
    }

    /// The change by one press of an arrow. It only guides the control: a client may set any number
    /// within the bounds.
    pub fn step(mut self, step: f64) -> Self {
        self.step = Some(step);
        self
    }

    /// The initial value: the allowed number nearest to 0 unless given.
    pub fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// The initial value.
    pub(crate) fn first(&self) -> f64 {
        let least = self.minimum.unwrap_or(f64::NEG_INFINITY).max(0.0);
        self.value.unwrap_or_else(|| self.maximum.unwrap_or(f64::INFINITY).min(least))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Self { minimum, maximum, step, .. } = *self;
        for bound in [minimum, maximum].into_iter().flatten() {
            if !bound.is_finite() {
                return Err(format!("{bound} is no bound"));
            }
        }
        step.map_or(Ok(()), check_step)?;
        check_bounds(self.first(), minimum, maximum)
    }
}

described!(Slider, Number);
explained!(Slider, Number);

fn check_step(step: f64) -> Result<(), String> {
    if step.is_finite() && step > 0.0 {
        Ok(())
    } else {
        Err(format!("its step {step} is not a positive number"))
    }
}

fn check_bounds(value: f64, minimum: Option<f64>, maximum: Option<f64>) -> Result<(), String> {
    let (min, max) = (minimum.unwrap_or(f64::MIN), maximum.unwrap_or(f64::MAX));
    if min <= value && value <= max {
        Ok(())
    } else {
        Err(format!("its value {value} is not {min} to {max}"))
    }
}
