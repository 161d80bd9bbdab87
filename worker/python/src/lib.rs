//! The extension module of the Python package `reframe`.
//!
//! Pixels, threads and waits are here, outside of Python's lock. What a handler is, and what it may
//! return, is decided in Python (`reframe/`), where its author can read it.
//!
//! | file | what it is |
//! |---|---|
//! | `stream` | what `Stream(…)` declares, as a stream of `reframe_worker` |
//! | `handler` | a session's Python object as a handler or generator, on the session's thread |
//! | `session` | what that object knows of its session |
//! | `frame` | a picture that Python sees as an array, without a copy |
//! | `picture` | what Python returns, whatever its strides |
//! | `batch` | a model that works on the frames of several sessions at once |
//! | `overdue` | the stack of a call that does not return |
//! | `run` | the commands `launch` and `serve` |

mod batch;
mod frame;
mod handler;
mod overdue;
mod picture;
mod run;
mod session;
mod stream;

/// No state of the module needs Python's lock: every class is frozen.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::batch::{Batcher, Superseded};
    #[pymodule_export]
    use crate::frame::Frame;
    #[pymodule_export]
    use crate::picture::packed;
    #[pymodule_export]
    use crate::run::{Stop, end_with_parent, front, run};
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::stream::Stream;
}
