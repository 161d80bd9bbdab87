//! A session's Python object as a handler or generator, on the session's thread.
//!
//! Python's lock is held while Python runs, and at no other time: not while a frame is converted or
//! copied, and not while a session waits for its turn or for a model.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString, PyTuple};
use reframe_worker::{
    AdditionalOutputs, CloseStream, Handler, HandlerError, Output, Superseded, Value,
    VideoStreamHandler,
};

use crate::frame::{Frame, Pool};
use crate::overdue::OnThread;
use crate::picture::Picture;
use crate::session::{Declared, Session};
use crate::stream::pixel_format;

/// The error of a call that comes when Python has already ended.
const ENDING: &str = "the program ends";

/// What all sessions of a stream share.
#[derive(Clone)]
pub(crate) struct Author {
    /// Called with a [`Session`], it makes the object that works for it.
    pub(crate) factory: Arc<Py<PyAny>>,
    pub(crate) declared: Declared,
}

/// Keeps a session's thread known to Python for as long as it lives, so that `threading.local`,
/// context variables and event loops last from frame to frame. Its lock is not held meanwhile.
pub(crate) fn attached(body: Box<dyn FnOnce() + Send>) {
    // None while Python ends: the body is dropped, and with it the session.
    Python::try_attach(|py| py.detach(body));
}

pub(crate) fn handler(author: Author) -> VideoStreamHandler {
    VideoStreamHandler::per_session(move || Worker::new(author.clone()))
}

pub(crate) fn generator(author: Author) -> VideoStreamHandler {
    VideoStreamHandler::generator(move |session: reframe_worker::Session| {
        let mut worker = Worker::new(author.clone());
        worker.begin(&session)?;
        Ok(worker)
    })
}

/// One session's object. It is made, called and stopped on the session's thread.
struct Worker {
    author: Author,
    pool: Arc<Pool>,
    /// `None` before the first call and after the last.
    object: Option<Py<PyAny>>,
    /// From the first call on.
    on_thread: Option<OnThread>,
}

/// What the object answered, before its picture is copied.
struct Answer {
    picture: Option<Picture>,
    outputs: Option<AdditionalOutputs>,
    close: Option<CloseStream>,
}

impl Worker {
    fn new(author: Author) -> Self {
        Self { author, pool: Arc::default(), object: None, on_thread: None }
    }

    fn begin(&mut self, session: &reframe_worker::Session) -> Result<(), HandlerError> {
        self.on_thread = Some(OnThread::new(session.id()));
        let Self { author: Author { factory, declared }, object, .. } = self;
        let session = Session::new(session.clone(), Arc::clone(declared));
        let failed = python(|py| {
            let made = factory.bind(py).call1((session,))?;
            let failed = made.call_method0(intern!(py, "start"))?;
            *object = Some(made.unbind());
            failed.extract::<Option<String>>()
        })?;
        failed.map_or(Ok(()), |message| Err(HandlerError::new(message)))
    }

    /// Calls the object, with a frame or for the next item. `None`: there are no more.
    fn call(&self, frame: Option<reframe_worker::Frame>) -> Result<Option<Output>, HandlerError> {
        let object = self.object.as_ref().ok_or_else(|| HandlerError::new(ENDING))?;
        let answer = python(|py| {
            let object = object.bind(py);
            let result = match frame {
                Some(frame) => {
                    let frame = Frame::new(frame, Arc::clone(&self.pool));
                    object.call_method1(intern!(py, "process"), (frame,))?
                }
                None => object.call_method0(intern!(py, "next"))?,
            };
            Answer::read(&result)
        })?;
        let Some(answer) = answer? else { return Ok(None) };
        let Answer { picture, outputs, close } = answer;
        // Copied within the session's turn: it may be in a buffer that the model writes again.
        let frame = picture.map(|picture| {
            let copied = picture.copy(&self.pool);
            Python::try_attach(|py| picture.give_back(py));
            copied
        });
        Ok(Some(Output::from_parts(frame.transpose()?, outputs, close)))
    }

    fn end(&mut self) {
        let Some(object) = self.object.take() else { return };
        // `stop` lets nothing escape. Without Python the object is left: its memory ends with the
        // process.
        Python::try_attach(|py| {
            object.bind(py).call_method0(intern!(py, "stop")).map(drop).ok();
            drop(object);
        });
    }
}

impl Handler for Worker {
    fn start(&mut self, session: &reframe_worker::Session) -> Result<(), HandlerError> {
        self.begin(session)
    }

    fn process(
        &mut self,
        frame: reframe_worker::Frame,
        _: &reframe_worker::Session,
    ) -> Result<Output, HandlerError> {
        self.call(Some(frame)).map(Option::unwrap_or_default)
    }
}

impl Iterator for Worker {
    type Item = Result<Output, HandlerError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.call(None).transpose()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

impl Answer {
    /// `None`: the generator has ended. The inner error is one frame's.
    fn read(result: &Bound<'_, PyAny>) -> PyResult<Result<Option<Self>, HandlerError>> {
        if result.is_none() {
            return Ok(Ok(None));
        }
        if result.is_instance_of::<PyBool>() {
            return Ok(Err(Superseded.into()));
        }
        if let Ok(message) = result.cast::<PyString>() {
            return Ok(Err(HandlerError::new(message.to_cow()?)));
        }
        let result = result.cast::<PyTuple>()?;
        type Parts<'py> =
            (Option<Bound<'py, PyAny>>, Option<String>, Option<String>, Option<String>);
        let (picture, format, outputs, close): Parts<'_> = result.extract()?;
        let format = format.as_deref().and_then(pixel_format);
        let picture = match (picture, format) {
            (None, _) => None,
            (Some(object), Some(format)) => Some(Picture::borrow(&object, format)?),
            (Some(_), None) => return Err(PyTypeError::new_err("a picture has a pixel format")),
        };
        let outputs = outputs
            .map(|json| serde_json::from_str::<Vec<Value>>(&json).map(AdditionalOutputs::new));
        Ok(match outputs.transpose() {
            Ok(outputs) => Ok(Some(Self { picture, outputs, close: close.map(CloseStream::new) })),
            Err(error) => Err(error.into()),
        })
    }
}

/// Runs `code` with Python's lock.
///
/// # Errors
/// What it raises: the Python half lets nothing of its author's escape, so this is a fault of ours.
fn python<T>(code: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T, HandlerError> {
    Python::try_attach(|py| code(py).map_err(|error| HandlerError::new(error.to_string())))
        .unwrap_or_else(|| Err(HandlerError::new(ENDING)))
}
