//! From a handler's values to the displayed ones: the outputs handler, and the checks against the
//! declaration.

use reframe_proto::MAX_OUTPUTS_BYTES;
use serde_json::Value;

use crate::components::OutputComponent;
use crate::error::HandlerError;

/// The values that a session displays. Empty at first.
#[derive(Debug, Default)]
pub(crate) struct Shown(Vec<Value>);

impl Shown {
    /// The displayed values, for the outputs handler.
    pub(crate) fn previous(&self) -> &[Value] {
        &self.0
    }

    /// Takes the next values, and returns each as JSON for the wire.
    ///
    /// # Errors
    ///
    /// When they do not fit `declared`; then the displayed values stay.
    pub(crate) fn update(
        &mut self,
        declared: &[OutputComponent],
        values: Vec<Value>,
    ) -> Result<Vec<String>, HandlerError> {
        if values.len() != declared.len() {
            let (values, declared) = (values.len(), declared.len());
            let problem =
                format!("{values} additional outputs, but the stream declares {declared}");
            return Err(HandlerError::new(problem));
        }
        for (output, value) in declared.iter().zip(&values) {
            output.check_value(value).map_err(HandlerError::new)?;
        }
        let json: Vec<String> = values.iter().map(Value::to_string).collect();
        let total: usize = json.iter().map(String::len).sum();
        if total > MAX_OUTPUTS_BYTES {
            let (largest, bytes) = largest(declared, &json);
            return Err(HandlerError::new(format!(
                "the additional outputs are {total} bytes of JSON, over {MAX_OUTPUTS_BYTES}; \
                 output {largest:?} alone has {bytes}"
            )));
        }
        self.0 = values;
        Ok(json)
    }
}

/// The output with the longest value, and its bytes.
fn largest<'a>(declared: &'a [OutputComponent], json: &[String]) -> (&'a str, usize) {
    let sizes =
        declared.iter().zip(json).map(|(output, json)| (output.about().name.as_str(), json.len()));
    sizes.max_by_key(|(_, bytes)| *bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::components::{Json, Label, LinePlot, Number, Text};

    fn declared() -> [OutputComponent; 5] {
        [
            Number::new("count").into(),
            Text::new("word").into(),
            Label::new("class").into(),
            Json::new("boxes").into(),
            LinePlot::new("curve").into(),
        ]
    }

    #[test]
    fn values_of_their_kind_are_shown() {
        let mut shown = Shown::default();
        for values in [
            [json!(1), json!("a"), json!("cat"), json!(null), json!(0.5)],
            [json!(-1.5), json!(""), json!({}), json!([1, "two"]), json!([])],
            [
                json!(0),
                json!("é"),
                json!({ "cat": 1, "dog": 0.0 }),
                json!({ "a": {} }),
                json!([1, 2.5]),
            ],
            [json!(0), json!("é"), json!("dog"), json!(true), json!([[0, 1], [0.5, 2]])],
        ] {
            let json = shown.update(&declared(), values.to_vec()).unwrap();
            assert_eq!(
                json.iter().map(|json| serde_json::from_str(json).unwrap()).collect::<Vec<Value>>(),
                values
            );
            assert_eq!(shown.previous(), values);
        }
    }

    #[test]
    fn a_misfit_names_its_output_and_changes_nothing() {
        let good = [json!(1), json!("a"), json!("cat"), json!(null), json!(0.5)];
        for (place, value, expected) in [
            (0, json!("1"), "output \"count\": a text is not a number"),
            (0, json!(f64::NAN), "output \"count\": null (or NaN) is not a number"),
            (1, json!(1), "output \"word\": a number is not a text"),
            (
                2,
                json!({ "cat": 1.1 }),
                "output \"class\": an object is not a text, or an object of label to a number",
            ),
            (
                2,
                json!({ "cat": "sure" }),
                "output \"class\": an object is not a text, or an object of label to a number",
            ),
            (
                4,
                json!([[1, 2, 3]]),
                "output \"curve\": an array is not a number, or an array of numbers or of [x, y]",
            ),
            (
                4,
                json!([1, [2, 3]]),
                "output \"curve\": an array is not a number, or an array of numbers or of [x, y]",
            ),
        ] {
            let mut shown = Shown::default();
            shown.update(&declared(), good.to_vec()).unwrap();
            let mut values = good.clone();
            values[place] = value;
            let error = shown.update(&declared(), values.to_vec()).unwrap_err();
            assert!(error.message().starts_with(expected), "{error:?}");
            assert_eq!(shown.previous(), good);
        }
    }

    #[test]
    fn there_is_one_value_for_each_output() {
        let error = Shown::default().update(&declared(), vec![json!(1)]).unwrap_err();
        assert_eq!(error.message(), "1 additional outputs, but the stream declares 5");
        let error = Shown::default().update(&[], vec![json!(1)]).unwrap_err();
        assert_eq!(error.message(), "1 additional outputs, but the stream declares 0");
        assert_eq!(Shown::default().update(&[], vec![]), Ok(vec![]));
    }

    #[test]
    fn values_are_bounded() {
        let outputs = [Text::new("short").into(), Text::new("long").into()];
        // `""` and `"…"` have four bytes beside the text.
        let update =
            |bytes| Shown::default().update(&outputs, vec![json!(""), json!("x".repeat(bytes))]);
        assert_eq!(update(MAX_OUTPUTS_BYTES - 4).unwrap().concat().len(), MAX_OUTPUTS_BYTES);
        let error = update(MAX_OUTPUTS_BYTES - 3).unwrap_err();
        let expected = "the additional outputs are 32769 bytes of JSON, over 32768; output \
                        \"long\" alone has 32767";
        assert_eq!(error.message(), expected);
    }
}
