//! Pictures read back from the page.

use crate::pattern::{self, Code};

/// Pictures are read back at half the clip's size: enough for the code, a quarter of the text
/// through WebDriver.
pub(super) const READ: (u32, u32) = (320, 240);

/// What a video element shows, read back through a canvas.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// [`READ`] pixels, three bytes each.
    pub(super) rgb: Vec<u8>,
}

impl Picture {
    /// Number and orientation, if they can be read.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        // BT.601 weights, in 256ths.
        let luma: Vec<u8> = self
            .rgb
            .chunks_exact(3)
            .map(|rgb| {
                let sum = 77 * u32::from(rgb[0]) + 150 * u32::from(rgb[1]) + 29 * u32::from(rgb[2]);
                u8::try_from(sum >> 8).expect("the weights add up to 256")
            })
            .collect();
        pattern::read(READ.0, READ.1, &luma)
    }

    /// Mean red, green and blue of the rows between two fractions of the height.
    #[must_use]
    pub fn mean(&self, from: f64, to: f64) -> [f64; 3] {
        let rows = self.rgb.chunks_exact(3 * READ.0 as usize).enumerate();
        let (mut sum, mut pixels) = ([0.0; 3], 0.0);
        for (y, row) in rows {
            if !(from..to).contains(&(y as f64 / f64::from(READ.1))) {
                continue;
            }
            for rgb in row.chunks_exact(3) {
                sum.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += f64::from(*value));
                pixels += 1.0;
            }
        }
        sum.map(|sum| sum / pixels)
    }
}
