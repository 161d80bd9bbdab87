//! A model that works on the frames of several sessions at once: `Batched` with Python's objects.

use std::time::Duration;

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use reframe_worker::{Batched, CallError, HandlerError};

use crate::handler::attached;

pyo3::create_exception!(
    reframe._core,
    Superseded,
    PyBaseException,
    "A newer frame came before the model began with this one, and takes its place."
);

/// The error of a model whose program ends.
const ENDING: &str = "the program ends";

/// How often a wait for a model's making looks for a signal, such as Ctrl-C.
const LOOK: Duration = Duration::from_millis(200);

/// A model, and the threads that run it.
#[pyclass(frozen, module = "reframe._core")]
pub(crate) struct Batcher(Batched<Py<PyAny>, Py<PyAny>>);

#[pymethods]
impl Batcher {
    /// `setup(replica)` makes a model on the model's thread, and `model(made, items)` returns a
    /// list with a result or an exception for each item.
    ///
    /// # Errors
    ///
    /// A setting is out of its range: `ValueError`.
    #[new]
    fn new(
        setup: Py<PyAny>,
        model: Py<PyAny>,
        max_batch: usize,
        max_wait_ms: f64,
        replicas: usize,
        newest: bool,
    ) -> PyResult<Self> {
        let wait = Duration::try_from_secs_f64(max_wait_ms / 1000.0)
            .map_err(|_| PyValueError::new_err("max_wait_ms is a number of milliseconds"))?;
        let setup = move |replica: usize| -> Result<Py<PyAny>, HandlerError> {
            python(|py| setup.call1(py, (replica,)))
        };
        let model = move |made: &mut Py<PyAny>, items: &[Py<PyAny>]| {
            python(|py| {
                let items = PyList::new(py, items.iter().map(|item| item.clone_ref(py)))?;
                let results = model.bind(py).call1((made.clone_ref(py), items))?;
                Ok(results.cast::<PyList>()?.iter().map(result).collect())
            })
        };
        let batched = Batched::builder(setup, model)
            .max_batch(max_batch)
            .max_wait(wait)
            .replicas(replicas)
            .newest(newest)
            .thread_wrapper(attached)
            .try_build();
        batched.map(Self).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// What the model makes of one item. Python's lock and the session's turn are not held
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// What the model raised for the item; `Superseded`; `RuntimeError` where there can be no
    /// result.
    fn call(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
        py.detach(|| self.0.call(item)).map_err(|error| raised(py, &error))
    }

    /// Makes the model, and waits for that.
    ///
    /// # Errors
    ///
    /// It cannot be made: `RuntimeError`. What a signal's handler raises: `KeyboardInterrupt` for
    /// Ctrl-C.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        while !py.detach(|| self.0.start_within(LOOK)).map_err(|error| raised(py, &error))? {
            py.check_signals()?;
        }
        Ok(())
    }
}

/// A result of the model's list: an exception is an error of its item.
fn result(result: Bound<'_, PyAny>) -> Result<Py<PyAny>, HandlerError> {
    if result.is_instance_of::<PyBaseException>() {
        return Err(PyErr::from_value(result).into());
    }
    Ok(result.unbind())
}

fn raised(py: Python<'_>, error: &CallError) -> PyErr {
    match error {
        CallError::Superseded => Superseded::new_err(()),
        CallError::Failed(error) => match error.source().and_then(|source| source.downcast_ref()) {
            Some(raised) => PyErr::clone_ref(raised, py),
            None => PyRuntimeError::new_err(error.message().to_owned()),
        },
        other => PyRuntimeError::new_err(other.to_string()),
    }
}

/// Runs `code` with Python's lock; what it raises is kept as the error's source.
fn python<T>(code: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T, HandlerError> {
    Python::try_attach(|py| code(py).map_err(HandlerError::from))
        .unwrap_or_else(|| Err(HandlerError::new(ENDING)))
}
