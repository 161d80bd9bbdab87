//! What Python returns as a picture: any view of bytes, whatever its strides.
//!
//! `np.flip(image, axis=0)` and a crop have whole rows, which are copied as such; so has
//! `image[..., ::-1]`, in the other order of colours. Of a mirrored picture each pixel is copied by
//! itself. Python's own copies take ten times as long (1280x720: 13 ms by `PyBuffer_ToContiguous`
//! for rows in reverse).

use std::ptr;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use reframe_worker::{Frame, FrameError, PixelFormat};

use crate::frame::Pool;
use crate::stream::pixel_format;

/// A view that Python has lent. Its owner neither moves nor frees it until it is given back, which
/// takes Python's lock ([`Picture::give_back`]).
pub(crate) struct Picture {
    view: PyUntypedBuffer,
    format: PixelFormat,
    width: u32,
    height: u32,
    /// Bytes of a pixel in the view, of which the format's are used.
    channels: usize,
}

/// Where a pixel stands: the first byte of the view's first pixel, and the way in bytes to the next
/// row, column and channel.
#[derive(Clone, Copy)]
struct Layout {
    first: *const u8,
    row: isize,
    column: isize,
    channel: isize,
}

impl Picture {
    /// Borrows `object`, which has `format`.
    ///
    /// # Errors
    /// It is no view of bytes, or has no shape of a picture. The Python half has said it better
    /// before: this is only the last check.
    pub(crate) fn borrow(object: &Bound<'_, PyAny>, format: PixelFormat) -> PyResult<Self> {
        let view = PyUntypedBuffer::get(object)?;
        let wrong = |what: &str| Err(PyTypeError::new_err(format!("a picture has {what}")));
        if view.item_size() != 1 || view.suboffsets().is_some() {
            return wrong("one byte for each value (uint8)");
        }
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (height, width, channels) = match (format, view.shape()) {
            (PixelFormat::I420, [rows, columns]) if rows % 3 == 0 && columns % 2 == 0 => {
                (rows / 3 * 2, *columns, 1)
            }
            (PixelFormat::I420, _) => return wrong("the shape (height * 3 / 2, width) as I420"),
            (PixelFormat::Gray8, [rows, columns] | [rows, columns, 1]) => (*rows, *columns, 1),
            (PixelFormat::Gray8, _) => return wrong("the shape (height, width) as GRAY8"),
            (_, [rows, columns, channels @ (3 | 4)]) => (*rows, *columns, *channels),
            _ => return wrong("the shape (height, width, 3)"),
        };
        Ok(Self { view, format, width: side(width), height: side(height), channels })
    }

    /// Copies it into a buffer of the pool. Without Python's lock: nobody else may write meanwhile,
    /// as for every array that is shared.
    ///
    /// # Errors
    /// Its size is none that a stream can carry.
    pub(crate) fn copy(&self, pool: &Pool) -> Result<Frame, FrameError> {
        let Self { view, format, width, height, channels } = self;
        // Checks the size before anything of that size is made.
        let (format, width, height) = (*format, *width, *height);
        if let Err(error @ (FrameError::Dimensions { .. } | FrameError::Area { .. })) =
            Frame::new(format, width, height, Vec::new())
        {
            return Err(error);
        }
        let mut data = pool.take(format.len(width, height));
        let strides = view.strides();
        let of = |axis: usize| strides.get(axis).copied().unwrap_or(1);
        let first = view.buf_ptr().cast_const().cast::<u8>();
        let layout = Layout { first, row: of(0), column: of(1), channel: of(2) };
        let used = if *channels == 1 { 1 } else { 3 };
        let columns = width as usize;
        // `image[..., ::-1]`: the same rows, begun at the other end of a pixel, in the other
        // format.
        let (layout, format) = match (layout.reversed(), swapped(format)) {
            (Some(layout), Some(swapped)) if used == 3 => (layout, swapped),
            _ => (layout, format),
        };
        if layout.column == used as isize && (used == 1 || layout.channel == 1) {
            layout.copy_rows(&mut data, columns * used);
        } else if used == 1 {
            layout.copy_pixels::<1>(&mut data, columns);
        } else {
            layout.copy_pixels::<3>(&mut data, columns);
        }
        Frame::new(format, width, height, data)
    }

    pub(crate) fn give_back(self, py: Python<'_>) {
        self.view.release(py);
    }
}

/// The bytes of a picture as they are encoded, and their format: for tests of strides and of what
/// is refused.
#[pyfunction]
pub(crate) fn packed<'py>(
    py: Python<'py>,
    picture: &Bound<'py, PyAny>,
    format: &str,
) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let format = pixel_format(format).ok_or_else(|| PyValueError::new_err("no pixel format"))?;
    let picture = Picture::borrow(picture, format)?;
    let frame = py.detach(|| picture.copy(&Pool::default()));
    picture.give_back(py);
    let frame = frame.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((frame.format().to_string().to_lowercase(), PyBytes::new(py, frame.data())))
}

/// The format with red and blue exchanged.
const fn swapped(format: PixelFormat) -> Option<PixelFormat> {
    match format {
        PixelFormat::Rgb24 => Some(PixelFormat::Bgr24),
        PixelFormat::Bgr24 => Some(PixelFormat::Rgb24),
        _ => None,
    }
}

#[allow(unsafe_code, reason = "the view is Python's memory, with strides that no slice has")]
impl Layout {
    /// Three channels side by side, read from the last to the first: the same bytes from the first
    /// to the last.
    fn reversed(self) -> Option<Self> {
        (self.channel == -1 && self.column == 3).then(|| Self {
            first: self.first.wrapping_offset(-2),
            channel: 1,
            ..self
        })
    }

    /// Whole rows of `row_bytes`, from top to bottom.
    fn copy_rows(self, target: &mut [u8], row_bytes: usize) {
        let mut source = self.first;
        for row in target.chunks_exact_mut(row_bytes) {
            // SAFETY: the view has as many rows as `target` is made for, each with `row_bytes`
            // bytes side by side; the way to the next is what the view says, and is not followed
            // beyond the last.
            unsafe { ptr::copy_nonoverlapping(source, row.as_mut_ptr(), row_bytes) };
            source = source.wrapping_offset(self.row);
        }
    }

    /// Pixel by pixel, `USED` channels of each.
    fn copy_pixels<const USED: usize>(self, target: &mut [u8], columns: usize) {
        let mut row_start = self.first;
        for row in target.chunks_exact_mut(columns * USED) {
            let mut pixel = row_start;
            for target in row.as_chunks_mut::<USED>().0 {
                for (channel, byte) in target.iter_mut().enumerate() {
                    // SAFETY: row, column and channel are within the shape that the view has.
                    *byte = unsafe { *pixel.wrapping_offset(self.channel * channel as isize) };
                }
                pixel = pixel.wrapping_offset(self.column);
            }
            row_start = row_start.wrapping_offset(self.row);
        }
    }
}
