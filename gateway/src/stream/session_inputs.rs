//! What the client of one session has set.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use super::inputs::{self, InputError, Values};
use super::spec::Spec;

/// The inputs of one session, set by HTTP or on the data channel.
#[derive(Debug)]
pub(crate) struct SessionInputs {
    spec: Arc<Spec>,
    /// Names of those that the client may not set.
    fixed: Vec<String>,
    /// All values that the client has set. A watch, because only the last value counts.
    values: watch::Sender<Values>,
}

impl SessionInputs {
    /// For a session whose client has set `values` in its offer.
    pub(super) fn new(spec: Arc<Spec>, fixed: Vec<String>, values: Values) -> Self {
        Self { spec, fixed, values: watch::Sender::new(values) }
    }

    /// Sets the values in `set` and leaves the others.
    ///
    /// # Errors
    /// The first value that does not fit its declaration, or is fixed; nothing was set.
    pub(crate) fn set(&self, set: &Map<String, Json>) -> Result<(), InputError> {
        inputs::unless_fixed(&self.fixed, set)?;
        let accepted = inputs::check(&self.spec.inputs, set)?;
        if !accepted.is_empty() {
            self.values.send_modify(|values| values.extend(accepted));
        }
        Ok(())
    }

    /// The values, now and whenever they change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Values> {
        self.values.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stream::inputs::{Input, Kind, Value};
    use crate::stream::spec::testing::spec;

    #[test]
    fn values_add_up_and_a_refusal_changes_nothing() {
        let mut spec = spec("default", 1);
        for name in ["a", "b", "c"] {
            let kind = Kind::Checkbox { value: false };
            let (name, label, info) = (name.into(), String::new(), String::new());
            spec.inputs.push(Input { name, label, info, kind });
        }
        let inputs = SessionInputs::new(Arc::new(spec), vec!["c".to_owned()], Values::new());
        let mut seen = inputs.subscribe();
        let set = |set: Json| inputs.set(set.as_object().unwrap());
        set(json!({ "a": true })).unwrap();
        set(json!({ "b": true })).unwrap();
        set(json!({ "b": false, "a": 7 })).unwrap_err();
        let fixed = set(json!({ "b": false, "c": true })).unwrap_err();
        assert_eq!(fixed.to_string(), "`c` is fixed by the access token");
        let expected =
            [("a", true), ("b", true)].map(|(name, flag)| (name.to_owned(), Value::Flag(flag)));
        assert_eq!(*seen.borrow_and_update(), expected.into_iter().collect());
        set(json!({})).unwrap();
        assert!(!seen.has_changed().unwrap(), "nothing set, nothing changed");
    }
}
