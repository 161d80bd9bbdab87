//! What a handler in Python knows of its session.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use reframe_worker::Inputs;

/// Which type an input's value has.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Number,
    Flag,
    Text,
}

/// A stream's inputs, by name.
pub(crate) type Declared = Arc<[(String, Kind)]>;

/// One browser's use of the stream. Any thread may use it.
#[pyclass(frozen, module = "reframe._core")]
pub(crate) struct Session {
    session: reframe_worker::Session,
    declared: Declared,
    /// The newest values that were asked for, and what was made of them.
    read: Mutex<Option<(Inputs, Py<PyDict>)>>,
}

impl Session {
    pub(crate) const fn new(session: reframe_worker::Session, declared: Declared) -> Self {
        Self { session, declared, read: Mutex::new(None) }
    }
}

#[pymethods]
impl Session {
    /// The gateway's name for the session.
    #[getter]
    fn id(&self) -> &str {
        self.session.id()
    }

    /// Whether the session is over: what the handler makes after that is thrown away.
    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// What the person in front of the browser has set, by name. The same object for as long as
    /// nothing changes.
    fn inputs(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let newest = self.session.inputs();
        // Never held while Python runs: another thread could wait for it with Python's lock.
        let known = self
            .read
            .lock()
            .as_ref()
            .and_then(|(inputs, values)| (*inputs == newest).then(|| values.clone_ref(py)));
        if let Some(values) = known {
            return Ok(values);
        }
        let values = PyDict::new(py);
        for (name, kind) in self.declared.iter() {
            let wrong =
                |error: reframe_worker::InputError| PyValueError::new_err(error.to_string());
            match kind {
                Kind::Number => values.set_item(name, newest.get::<f64>(name).map_err(wrong)?)?,
                Kind::Flag => values.set_item(name, newest.get::<bool>(name).map_err(wrong)?)?,
                Kind::Text => values.set_item(name, newest.get::<String>(name).map_err(wrong)?)?,
            }
        }
        let values = values.unbind();
        let before = self.read.lock().replace((newest, values.clone_ref(py)));
        drop(before);
        Ok(values)
    }

    /// Shows a message to the person in front of the browser: `log`, `warning` or `error`. Never
    /// waits: when the connection is behind, the message is dropped and counted.
    fn notify(&self, level: &str, message: &str) -> PyResult<()> {
        match level {
            "log" => self.session.log(message),
            "warning" => self.session.warning(message),
            "error" => self.session.error(message),
            _ => return Err(PyValueError::new_err("a level is log, warning or error")),
        }
        Ok(())
    }
}
