//! Inputs: what a stream lets its clients set, and the check of what a client sent. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// An input, as its stream declares it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) info: String,
    pub(crate) kind: Kind,
}

/// Its kind and bounds; `value` holds until a client sets another. The fields are Gradio's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Slider {
        minimum: f64,
        maximum: f64,
        step: f64,
        value: f64,
    },
    Number {
        minimum: Option<f64>,
        maximum: Option<f64>,
        step: Option<f64>,
        value: f64,
    },
    Checkbox {
        value: bool,
    },
    /// `max_length` is in characters.
    Textbox {
        value: String,
        max_length: usize,
        lines: u32,
        placeholder: String,
    },
    Dropdown {
        choices: Vec<String>,
        value: String,
    },
    /// `#rrggbb`.
    ColorPicker {
        value: String,
    },
}

/// A value that fits its declaration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Flag(bool),
    Text(String),
}

/// The values that a client has set, by name. All other inputs have their declared value, which the
/// worker knows.
pub(crate) type Values = BTreeMap<String, Value>;

/// A refused value; nothing in the same message was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub(crate) struct InputError {
    /// The name, as the client wrote it (cut if it is too long).
    pub(crate) field: String,
    pub(crate) problem: String,
}

/// Longer texts from a client are cut in error messages, in characters.
const ECHOED_CHARS: usize = 64;

/// Checks all of `set` against the declaration.
///
/// # Errors
/// The first value that does not fit.
pub(crate) fn check(declared: &[Input], set: &Map<String, Json>) -> Result<Values, InputError> {
    let one = |(name, value): (&String, &Json)| {
        let input = declared.iter().find(|input| input.name == *name);
        let accepted = input
            .ok_or_else(|| "is no input of this stream".to_owned())
            .and_then(|input| input.accept(value));
        match accepted {
            Ok(value) => Ok((name.clone(), value)),
            Err(problem) => {
                Err(InputError { field: name.chars().take(ECHOED_CHARS).collect(), problem })
            }
        }
    };
    set.iter().map(one).collect()
}

/// # Errors
/// The first of `set` that is `fixed`.
pub(crate) fn unless_fixed(fixed: &[String], set: &Map<String, Json>) -> Result<(), InputError> {
    let refused = |field: &String| InputError {
        field: field.clone(),
        problem: "is fixed by the access token".to_owned(),
    };
    fixed.iter().find(|name| set.contains_key(*name)).map(refused).map_or(Ok(()), Err)
}

/// Whether there is an input of this name that takes this value.
pub(crate) fn fits(declared: &[Input], name: &str, value: &Json) -> bool {
    declared.iter().any(|input| input.name == name && input.accept(value).is_ok())
}

/// Of what a client has set, all that fits this declaration too: what does not has its declared
/// value again.
pub(crate) fn kept(declared: &[Input], set: &Values) -> Values {
    let keeps = |name: &str, value: &Value| {
        let input = declared.iter().find(|input| input.name == name)?;
        Some((name.to_owned(), input.accept(&value.to_json()).ok()?))
    };
    set.iter().filter_map(|(name, value)| keeps(name, value)).collect()
}

impl Value {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Number(number) => json!(number),
            Self::Flag(flag) => json!(flag),
            Self::Text(text) => json!(text),
        }
    }
}

impl Input {
    /// The value, or the problem, phrased to follow the input's name.
    pub(crate) fn accept(&self, value: &Json) -> Result<Value, String> {
        match &self.kind {
            Kind::Slider { minimum, maximum, .. } => number(value, Some(*minimum), Some(*maximum)),
            Kind::Number { minimum, maximum, .. } => number(value, *minimum, *maximum),
            Kind::Checkbox { .. } => {
                value.as_bool().map(Value::Flag).ok_or_else(|| wrong(value, "true or false"))
            }
            Kind::Textbox { max_length, .. } => {
                let text = value.as_str().ok_or_else(|| wrong(value, "a string"))?;
                // The byte length is checked first: counting characters is linear in a text that
                // may be the whole body.
                let fits = text.len() <= *max_length
                    || text.chars().take(max_length + 1).count() <= *max_length;
                if !fits {
                    return Err(format!("must have at most {max_length} characters"));
                }
                Ok(Value::Text(text.to_owned()))
            }
            Kind::Dropdown { choices, .. } => {
                let text = value.as_str().ok_or_else(|| wrong(value, "a string"))?;
                let known = choices.iter().any(|choice| choice == text);
                known
                    .then(|| Value::Text(text.to_owned()))
                    .ok_or_else(|| "must be one of its choices".to_owned())
            }
            Kind::ColorPicker { .. } => {
                let text = value.as_str().ok_or_else(|| wrong(value, "a string"))?;
                let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6);
                let colour =
                    hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
                colour
                    .then(|| Value::Text(text.to_ascii_lowercase()))
                    .ok_or_else(|| "must be #rrggbb".to_owned())
            }
        }
    }

    /// The value until a client sets another.
    pub(crate) fn default_value(&self) -> Json {
        match &self.kind {
            Kind::Slider { value, .. } | Kind::Number { value, .. } => json!(value),
            Kind::Checkbox { value } => json!(value),
            Kind::Textbox { value, .. }
            | Kind::Dropdown { value, .. }
            | Kind::ColorPicker { value } => json!(value),
        }
    }

    /// For `GET /api/streams`.
    pub(crate) fn to_json(&self) -> Json {
        let (kind, fields) = match &self.kind {
            Kind::Slider { minimum, maximum, step, .. } => {
                ("slider", json!({ "minimum": minimum, "maximum": maximum, "step": step }))
            }
            Kind::Number { minimum, maximum, step, .. } => {
                ("number", json!({ "minimum": minimum, "maximum": maximum, "step": step }))
            }
            Kind::Checkbox { .. } => ("checkbox", json!({})),
            Kind::Textbox { max_length, lines, placeholder, .. } => (
                "textbox",
                json!({ "max_length": max_length, "lines": lines, "placeholder": placeholder }),
            ),
            Kind::Dropdown { choices, .. } => ("dropdown", json!({ "choices": choices })),
            Kind::ColorPicker { .. } => ("color_picker", json!({})),
        };
        let mut input = fields;
        for (field, value) in [
            ("name", json!(self.name)),
            ("label", json!(self.label)),
            ("info", json!(self.info)),
            ("type", json!(kind)),
        ] {
            input[field] = value;
        }
        input["value"] = self.default_value();
        input
    }
}

fn number(value: &Json, minimum: Option<f64>, maximum: Option<f64>) -> Result<Value, String> {
    // Finite, because JSON has neither NaN nor infinities, and serde refuses numbers that overflow.
    let number = value
        .as_f64()
        .filter(|number| number.is_finite())
        .ok_or_else(|| wrong(value, "a number"))?;
    match (minimum, maximum) {
        (Some(minimum), _) if number < minimum => {
            Err(format!("must be at least {minimum}, not {number}"))
        }
        (_, Some(maximum)) if number > maximum => {
            Err(format!("must be at most {maximum}, not {number}"))
        }
        _ => Ok(Value::Number(number)),
    }
}

fn wrong(value: &Json, wanted: &str) -> String {
    let is = match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    format!("must be {wanted}, not {is}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, kind: Kind) -> Input {
        Input { name: name.into(), label: String::new(), info: String::new(), kind }
    }

    fn declared() -> Vec<Input> {
        let text = String::new;
        vec![
            input("slider", Kind::Slider { minimum: 0.0, maximum: 1.0, step: 0.01, value: 0.3 }),
            input(
                "number",
                Kind::Number { minimum: None, maximum: Some(9.0), step: None, value: 1.0 },
            ),
            input("checkbox", Kind::Checkbox { value: false }),
            input(
                "textbox",
                Kind::Textbox { value: text(), max_length: 3, lines: 1, placeholder: text() },
            ),
            input(
                "dropdown",
                Kind::Dropdown { choices: vec!["a".into(), "b".into()], value: "a".into() },
            ),
            input("colour", Kind::ColorPicker { value: "#000000".into() }),
        ]
    }

    fn verdict(set: Json) -> Result<Values, String> {
        check(&declared(), set.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn good_values_pass() {
        let set = verdict(json!({
            "slider": 1, "number": -7.5, "checkbox": true, "textbox": "äöü", "dropdown": "b", "colour": "#FFaa00",
        }));
        let set = set.unwrap();
        assert_eq!(set["slider"], Value::Number(1.0));
        assert_eq!(set["textbox"], Value::Text("äöü".into()), "three characters in six bytes");
        assert_eq!(set["colour"], Value::Text("#ffaa00".into()));
        assert_eq!(set.len(), 6);
    }

    #[test]
    fn what_still_fits_another_declaration_is_kept() {
        let set = verdict(json!({
            "slider": 0.9, "number": 3, "checkbox": true, "textbox": "abc", "dropdown": "b",
        }));
        let set = set.unwrap();
        assert_eq!(kept(&declared(), &set), set);
        let (text, kind) = (String::new, |input: &Input| input.kind.clone());
        let old = declared();
        let new = [
            input("slider", Kind::Slider { minimum: 0.0, maximum: 0.5, step: 0.1, value: 0.1 }),
            // A number is one, whichever control sets it.
            input("number", kind(&old[0])),
            input("number2", kind(&old[1])),
            input("checkbox", kind(&old[2])),
            input(
                "textbox",
                Kind::Textbox { value: text(), max_length: 2, lines: 1, placeholder: text() },
            ),
            // A text is one, too.
            input(
                "dropdown",
                Kind::Textbox { value: text(), max_length: 2, lines: 1, placeholder: text() },
            ),
        ];
        let names: Vec<_> = kept(&new, &set).into_keys().collect();
        assert_eq!(names, ["checkbox", "dropdown"]);
    }

    #[test]
    fn each_refusal_names_its_field_and_what_is_wrong() {
        for (set, message) in [
            (json!({ "slider": 1.01 }), "`slider` must be at most 1, not 1.01"),
            (json!({ "slider": -0.1 }), "`slider` must be at least 0, not -0.1"),
            (json!({ "slider": "0.5" }), "`slider` must be a number, not a string"),
            (json!({ "slider": null }), "`slider` must be a number, not null"),
            (json!({ "number": 10 }), "`number` must be at most 9, not 10"),
            (json!({ "checkbox": 1 }), "`checkbox` must be true or false, not a number"),
            (json!({ "textbox": "four" }), "`textbox` must have at most 3 characters"),
            (json!({ "textbox": ["a"] }), "`textbox` must be a string, not an array"),
            (json!({ "dropdown": "c" }), "`dropdown` must be one of its choices"),
            (json!({ "colour": "red" }), "`colour` must be #rrggbb"),
            (json!({ "colour": "#12345é" }), "`colour` must be #rrggbb"),
            (json!({ "colour": {} }), "`colour` must be a string, not an object"),
            (json!({ "speed": 1 }), "`speed` is no input of this stream"),
            (json!({ "slider": 0.5, "speed": 1 }), "`speed` is no input of this stream"),
        ] {
            assert_eq!(verdict(set), Err(message.to_owned()));
        }
        let long = verdict(json!({ "x".repeat(200_000): 1 })).unwrap_err();
        assert!(long.len() < 200, "{}", long.len());
    }
}
