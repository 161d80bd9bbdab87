//! What the client of one session has set.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use super::inputs::{self, InputError, Values};
use super::spec::Spec;

/// The inputs of one session, set by HTTP or on the data channel.
#[derive(Debug)]
pub(crate) struct SessionInputs {
    /// The declaration that holds now: that of the session's worker.
    declared: Mutex<Arc<Spec>>,
    /// Names of those that the client may not set.
    fixed: Vec<String>,
    /// All values that the client has set. A watch, because only the last value counts.
    values: watch::Sender<Values>,
}

impl SessionInputs {
    /// For a session whose client has set `values` in its offer.
    pub(super) fn new(spec: Arc<Spec>, fixed: Vec<String>, values: Values) -> Self {
        Self { declared: Mutex::new(spec), fixed, values: watch::Sender::new(values) }
    }

    /// Sets the values in `set` and leaves the others.
    ///
    /// # Errors
    /// The first value that does not fit its declaration, or is fixed; nothing was set.
    pub(crate) fn set(&self, set: &Map<String, Json>) -> Result<(), InputError> {
        inputs::unless_fixed(&self.fixed, set)?;
        // Held, so that no value is set that fits a declaration which holds no more.
        let declared = self.declared.lock();
        let accepted = inputs::check(&declared.inputs, set)?;
        if !accepted.is_empty() {
            self.values.send_modify(|values| values.extend(accepted));
        }
        Ok(())
    }

    /// The declaration that holds now.
    pub(super) fn declared(&self) -> Arc<Spec> {
        Arc::clone(&self.declared.lock())
    }

    /// From now on `spec` holds. Values that do not fit it are set no more.
    pub(super) fn declare(&self, spec: &Arc<Spec>) {
        let mut declared = self.declared.lock();
        *declared = Arc::clone(spec);
        self.values.send_if_modified(|values| {
            let kept = inputs::kept(&spec.inputs, values);
            let changes = kept != *values;
            *values = kept;
            changes
        });
    }

    /// What `spec` lets stand of the values.
    pub(crate) fn kept(&self, spec: &Spec) -> Values {
        inputs::kept(&spec.inputs, &self.values.borrow())
    }

    /// Whether the values that the client may not set hold under `spec` too.
    pub(super) fn fixed_fit(&self, spec: &Spec) -> bool {
        let kept = self.kept(spec);
        self.fixed.iter().all(|name| kept.contains_key(name))
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

        let mut without = (*inputs.declared()).clone();
        inputs.declare(&Arc::new(without.clone()));
        assert!(!seen.has_changed().unwrap(), "all of them still fit");
        without.inputs.remove(0);
        inputs.declare(&Arc::new(without));
        assert_eq!(seen.borrow_and_update().keys().collect::<Vec<_>>(), ["b"]);
        set(json!({ "a": true })).unwrap_err();
        set(json!({ "b": false })).unwrap();
    }

    #[test]
    fn a_fixed_value_must_fit_the_next_declaration() {
        let kind = Kind::Checkbox { value: false };
        let input = |name: &str| {
            let (name, label, info) = (name.into(), String::new(), String::new());
            Input { name, label, info, kind: kind.clone() }
        };
        let (mut old, mut new) = (spec("default", 1), spec("default", 1));
        old.inputs = vec![input("a"), input("b")];
        new.inputs = vec![input("b")];
        let set = || {
            let flag = |name: &str| (name.to_owned(), Value::Flag(true));
            Values::from([flag("a"), flag("b")])
        };
        let fits = |fixed: &[&str]| {
            let fixed = fixed.iter().map(|name| (*name).to_owned()).collect();
            SessionInputs::new(Arc::new(old.clone()), fixed, set()).fixed_fit(&new)
        };
        assert!(fits(&[]) && fits(&["b"]));
        assert!(!fits(&["a"]) && !fits(&["a", "b"]));
    }
}
