//! A picture that Python sees as an array, without a copy.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use reframe_worker::PixelFormat;

/// Buffers that a session keeps for its next pictures: the one that the handler is given, the one
/// that it returns, and one for an author who keeps the picture before.
const KEPT: usize = 3;

/// Buffers of a session that no picture uses any more. When there are more than [`KEPT`], the
/// memory is given back.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// A buffer of `len` bytes, which still has an old picture's if there was one.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.0.lock().pop().unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// One picture: writable bytes, in the stream's pixel format.
///
/// `numpy.asarray` makes an array of it without a copy. The bytes stay as they are for as long as
/// any array shares them, and then hold another picture.
#[pyclass(frozen, module = "reframe._core")]
pub(crate) struct Frame {
    data: Bytes,
    pool: Arc<Pool>,
    /// As many are used as `dimensions` says. `Py_buffer` points into both.
    shape: [isize; 3],
    strides: [isize; 3],
    dimensions: u8,
    seq: u64,
    capture_time: f64,
}

/// The bytes of a picture, which Python code reads and writes.
struct Bytes {
    /// Not looked at while there are views.
    data: Vec<u8>,
    /// Its first byte, for views: taken once, so that no view needs `data`.
    first: NonNull<u8>,
}

impl Bytes {
    fn new(mut data: Vec<u8>) -> Self {
        let first = NonNull::new(data.as_mut_ptr()).expect("a Vec's pointer is never null");
        Self { data, first }
    }
}

// SAFETY: `first` points into `data`, which goes where it goes.
#[allow(unsafe_code, reason = "the buffer protocol shares memory with Python")]
unsafe impl Send for Bytes {}

// SAFETY: Rust touches the bytes before the first view of them is made, and after the last is gone
// (`Drop`). Between, only Python code does, which has the rules of every array: programs that share
// one among threads must order the writes.
#[allow(unsafe_code, reason = "the buffer protocol shares memory with Python")]
unsafe impl Sync for Bytes {}

impl Frame {
    /// Takes what a handler is given. The buffer goes to `pool` when Python has let go of it.
    pub(crate) fn new(frame: reframe_worker::Frame, pool: Arc<Pool>) -> Self {
        let (width, height) = (frame.width() as isize, frame.height() as isize);
        let (seq, capture_time) = (frame.seq(), frame.capture_time().as_secs_f64());
        let format = frame.format();
        let data = frame.into_data();
        let (shape, strides, dimensions) = match format {
            PixelFormat::Gray8 => ([height, width, 0], [width, 1, 0], 2),
            // Planes below each other, as OpenCV has them; that takes even sides.
            PixelFormat::I420 if width % 2 == 0 && height % 2 == 0 => {
                ([height / 2 * 3, width, 0], [width, 1, 0], 2)
            }
            PixelFormat::I420 => ([data.len() as isize, 0, 0], [1, 0, 0], 1),
            _ => ([height, width, 3], [width * 3, 3, 1], 3),
        };
        let data = Bytes::new(data);
        Self { data, pool, shape, strides, dimensions, seq, capture_time }
    }
}

#[pymethods]
impl Frame {
    /// Rows, columns and, in colour, channels.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape[..usize::from(self.dimensions)])
    }

    /// The number of the picture in its session; a gap is a picture that was skipped.
    #[getter]
    fn seq(&self) -> u64 {
        self.seq
    }

    /// When the picture was taken: seconds since the session's first.
    #[getter]
    fn capture_time(&self) -> f64 {
        self.capture_time
    }

    /// The buffer protocol. Every consumer may write, and may ignore shape and strides: the bytes
    /// are contiguous.
    #[allow(unsafe_code, reason = "the buffer protocol shares memory with Python")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let frame = slf.get();
        // SAFETY: `view` is the caller's to be filled. What it points to lives in the frame, which
        // is on Python's heap, does not move and is kept alive by `obj`.
        unsafe {
            let asked = |flag: c_int| flags & flag == flag;
            (*view).buf = frame.data.first.as_ptr().cast::<c_void>();
            (*view).len = frame.data.data.len() as isize;
            (*view).readonly = 0;
            (*view).itemsize = 1;
            (*view).format =
                if asked(ffi::PyBUF_FORMAT) { c"B".as_ptr().cast_mut() } else { ptr::null_mut() };
            (*view).ndim = if asked(ffi::PyBUF_ND) { c_int::from(frame.dimensions) } else { 1 };
            (*view).shape = if asked(ffi::PyBUF_ND) {
                frame.shape.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            (*view).strides = if asked(ffi::PyBUF_STRIDES) {
                frame.strides.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            (*view).suboffsets = ptr::null_mut();
            (*view).internal = ptr::null_mut();
            (*view).obj = slf.clone().into_any().into_ptr();
        }
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.data.data));
    }
}
