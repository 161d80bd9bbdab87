//! Raw pictures, and how they are copied from the libraries' padded planes.

use bytes::{Bytes, BytesMut};
use reframe_proto::{i420_len, picture_fits};

use super::CodecError;

/// One I420 picture: luma, then the two chroma planes at half the size rounded up, without padding.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Exactly `reframe_proto::i420_len(width, height)` bytes. Cheap to clone.
    pub data: Bytes,
}

/// A plane with padding after each line.
pub(super) struct Plane<'a> {
    pub(super) data: &'a [u8],
    /// Bytes from one line to the next.
    pub(super) stride: usize,
}

impl Picture {
    /// Packs a library's planes.
    pub(super) fn pack(width: u32, height: u32, planes: [Plane<'_>; 3]) -> Self {
        let mut data = BytesMut::with_capacity(i420_len(width, height));
        for (plane, (columns, rows)) in planes.into_iter().zip(plane_sizes(width, height)) {
            for row in 0..rows {
                data.extend_from_slice(&plane.data[row * plane.stride..][..columns]);
            }
        }
        Self { width, height, data: data.freeze() }
    }

    /// Whether `other` is the same buffer and size. Compares no pixels.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let place = |picture: &Self| {
            (picture.data.as_ptr(), picture.data.len(), picture.width, picture.height)
        };
        place(self) == place(other)
    }

    /// # Errors
    /// The size is empty or too large, or the data does not fit it.
    pub(super) fn check(&self) -> Result<(), CodecError> {
        check_size(self.width, self.height)?;
        let whole = self.data.len() == i420_len(self.width, self.height);
        whole.then_some(()).ok_or(CodecError::Unit("the picture's bytes do not fit its size"))
    }
}

/// # Errors
/// The size is empty, or above the limit of the protocol.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), CodecError> {
    if picture_fits(width, height) { Ok(()) } else { Err(CodecError::Size { width, height }) }
}

/// Columns and rows of the Y, U and V planes.
pub(super) fn plane_sizes(width: u32, height: u32) -> [(usize, usize); 3] {
    let chroma = ((width as usize).div_ceil(2), (height as usize).div_ceil(2));
    [(width as usize, height as usize), chroma, chroma]
}
