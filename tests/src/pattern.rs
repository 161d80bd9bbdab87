//! A synthetic camera: moving, grainy I420 pictures that carry their own number.
//!
//! Pictures are packed I420 (`reframe_proto::i420_len` bytes: Y, U, V without padding), of even or
//! odd size. The top eighth is the code: 2 rows of 20 black or white blocks, 32 bits of frame
//! number and 8 of checksum, most significant bit first. Blocks are a twentieth of the width, so
//! they outlive VP8 at bit rates where the rest of the picture is mush. A vertical flip moves the
//! code to the bottom, which is how [`read`] tells a processed picture from an echo.

use reframe_proto::i420_len;

/// Blocks in a row of the code, and rows; 40 bits.
const COLUMNS: u32 = 20;
const ROWS: u32 = 2;
/// The code takes this fraction of the height.
const CODE_FRACTION: u32 = 8;
/// The smallest picture whose blocks are still 8 pixels, one VP8 transform, in both directions.
pub const MIN_WIDTH: u32 = 8 * COLUMNS;
/// See [`MIN_WIDTH`].
pub const MIN_HEIGHT: u32 = 8 * ROWS * CODE_FRACTION;

/// Luma of a 0 and a 1, inside the limited range so that a trip through RGB leaves them alone.
const BLACK: u8 = 40;
const WHITE: u8 = 215;
/// A block whose mean luma lies between these is neither: better no number than a wrong one.
const DARKEST_WHITE: u32 = 160;
const BRIGHTEST_BLACK: u32 = 96;

/// What a picture says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// The frame number that was drawn.
    pub number: u32,
    /// True when the code was found upside down, at the bottom of the picture.
    pub flipped: bool,
}

/// A camera of one fixed size: the same number always gives the same picture.
#[derive(Debug)]
pub struct Camera {
    width: u32,
    height: u32,
    /// The static scene, `MARGIN` larger than the picture in both directions: panning is a shifted
    /// copy.
    scene: Vec<u8>,
    /// Sensor noise, `GRAIN` values longer than a row; every row of every frame starts at another
    /// place of it.
    grain: Vec<u8>,
}

/// How far the camera pans, in pixels.
const MARGIN: u32 = 64;

impl Camera {
    /// A camera that takes pictures of `width` x `height` pixels. Below [`MIN_WIDTH`] x
    /// [`MIN_HEIGHT`] their number cannot be read back.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let mut random = 0x9e37_79b9_u32;
        let (w, h) = (width + MARGIN, height + MARGIN);
        let mut scene = Vec::with_capacity(w as usize * h as usize);
        for y in 0..h {
            for x in 0..w {
                // Soft triangle waves with some hard edges: cheap, and neither flat nor noise to an
                // encoder.
                let soft = triangle(x * 3 + y, 509) / 2 + triangle(y * 2 + 97, 251) / 3;
                let edge = if (x / 48 + y / 40).is_multiple_of(3) { 24 } else { 0 };
                scene.push(clamp(40 + soft + edge));
            }
        }
        let grain =
            (0..GRAIN + width as usize).map(|_| (xorshift(&mut random) % 7) as u8).collect();
        Self { width, height, scene, grain }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The picture with this number, packed I420.
    #[must_use]
    pub fn frame(&self, number: u32) -> Vec<u8> {
        let mut data = vec![0; i420_len(self.width, self.height)];
        self.draw(number, &mut data);
        data
    }

    /// Draws the picture with this number into `data`, packed I420.
    ///
    /// # Panics
    /// When `data` is not exactly `i420_len(width, height)` bytes.
    pub fn draw(&self, number: u32, data: &mut [u8]) {
        assert_eq!(data.len(), i420_len(self.width, self.height));
        let (luma, chroma) = data.split_at_mut(self.width as usize * self.height as usize);
        // Movement repeats after half an hour; the number does not.
        let phase = number % (1 << 16);
        self.draw_scene(phase, luma);
        self.draw_chroma(phase, chroma);
        self.draw_code(number, luma);
    }

    fn draw_scene(&self, phase: u32, luma: &mut [u8]) {
        let width = self.width as usize;
        let (pan_x, pan_y) = (triangle(phase, 127) / 4, triangle(phase * 2 + 31, 113) / 4);
        let mut start = phase as usize * 7919;
        for (y, row) in luma.chunks_exact_mut(width).enumerate() {
            let from = (y + pan_y as usize) * (width + MARGIN as usize) + pan_x as usize;
            start += 1009;
            let grain = &self.grain[start % GRAIN..];
            for ((pixel, scene), grain) in row.iter_mut().zip(&self.scene[from..]).zip(grain) {
                *pixel = scene + grain;
            }
        }
        // Something that moves against the background: a bright square going round below the code.
        let side = (self.height / 6).min(self.width);
        let left = triangle(phase * 5, 255) * (self.width - side) / 255;
        let top = self.height / 4 + triangle(phase * 3 + 64, 255) * (self.height / 2) / 255;
        for row in luma.chunks_exact_mut(width).skip(top as usize).take(side as usize) {
            row[left as usize..][..side as usize].fill(200);
        }
    }

    /// Colour bands, different above and below, drifting slowly; grey behind the code.
    fn draw_chroma(&self, phase: u32, chroma: &mut [u8]) {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let (u, v) = chroma.split_at_mut(width as usize * height as usize);
        for y in 0..height {
            let row = y as usize * width as usize..(y as usize + 1) * width as usize;
            let (blue, red) = if y < height.div_ceil(CODE_FRACTION) {
                (128, 128)
            } else {
                (96 + triangle(y * 2 + phase, 255) / 4, 160 - triangle(y * 2, 255) / 4)
            };
            u[row.clone()].fill(clamp(blue));
            v[row].fill(clamp(red));
        }
    }

    fn draw_code(&self, number: u32, luma: &mut [u8]) {
        let bits = u64::from(number) << 8 | u64::from(checksum(number));
        let code_height = self.height / CODE_FRACTION;
        for (y, row) in (0..code_height).zip(luma.chunks_exact_mut(self.width as usize)) {
            let code_row = y * ROWS / code_height;
            for (x, pixel) in (0..).zip(row) {
                let bit = code_row * COLUMNS + x * COLUMNS / self.width;
                *pixel = if bits >> (ROWS * COLUMNS - 1 - bit) & 1 == 1 { WHITE } else { BLACK };
            }
        }
    }
}

/// Reads the code of a packed I420 picture, at the top or upside down at the bottom.
///
/// `None` when neither end of the picture holds a code whose checksum is right: a picture of
/// something else, damaged, or mirrored. Pictures that were scaled as a whole can still be read.
///
/// # Panics
/// When `data` is shorter than the luma plane.
#[must_use]
pub fn read(width: u32, height: u32, data: &[u8]) -> Option<Code> {
    if width < MIN_WIDTH || height < MIN_HEIGHT {
        return None;
    }
    [false, true]
        .into_iter()
        .find_map(|flipped| Some(Code { number: read_at(width, height, data, flipped)?, flipped }))
}

fn read_at(width: u32, height: u32, data: &[u8], flipped: bool) -> Option<u32> {
    let block = (width / COLUMNS, height / CODE_FRACTION / ROWS);
    let mut bits = 0_u64;
    for bit in 0..ROWS * COLUMNS {
        let (column, row) = (bit % COLUMNS, bit / COLUMNS);
        let centre_x = (2 * column + 1) * width / (2 * COLUMNS);
        let centre_y = (2 * row + 1) * (height / CODE_FRACTION) / (2 * ROWS);
        // The inner half of the block: its edges are where a codec smears.
        let (mut sum, mut count) = (0_u32, 0_u32);
        for y in centre_y - block.1 / 4..=centre_y + block.1 / 4 {
            let y = if flipped { height - 1 - y } else { y };
            for x in centre_x - block.0 / 4..=centre_x + block.0 / 4 {
                sum += u32::from(data[(y * width + x) as usize]);
                count += 1;
            }
        }
        let one = match sum / count {
            0..=BRIGHTEST_BLACK => 0,
            DARKEST_WHITE.. => 1,
            _ => return None,
        };
        bits = bits << 1 | one;
    }
    let number = u32::try_from(bits >> 8).ok()?;
    (u64::from(checksum(number)) == bits & 0xff).then_some(number)
}

/// Peak signal-to-noise ratio of two equally long planes in decibels; infinite when they are equal.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let mean = squares as f64 / a.len() as f64;
    10.0 * (255.0_f64.powi(2) / mean).log10()
}

/// The rows of a packed I420 picture in reverse order, plane by plane: what a vertical flip should
/// give.
#[must_use]
pub fn flip_vertical(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let (luma, chroma) = data.split_at(width as usize * height as usize);
    let (u, v) = chroma.split_at(chroma.len() / 2);
    let half = width.div_ceil(2);
    [(luma, width), (u, half), (v, half)]
        .into_iter()
        .flat_map(|(plane, width)| plane.chunks_exact(width as usize).rev().flatten().copied())
        .collect()
}

/// Never 0 for number 0, so that a black picture carries no number.
fn checksum(number: u32) -> u8 {
    number
        .to_be_bytes()
        .iter()
        .fold(0xa5_u8, |sum, byte| sum.rotate_left(3) ^ byte.wrapping_mul(29))
}

/// Length of the noise table: prime, so that no two rows of a picture line up.
const GRAIN: usize = 16_381;

/// A wave between 0 and `top` with period `2 * top`.
fn triangle(x: u32, top: u32) -> u32 {
    let phase = x % (2 * top);
    phase.min(2 * top - phase)
}

fn clamp(value: u32) -> u8 {
    u8::try_from(value.min(220)).expect("220 fits a byte")
}

fn xorshift(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_upright_and_flipped() {
        for (width, height) in [(160, 128), (320, 240), (641, 481), (1280, 720)] {
            let camera = Camera::new(width, height);
            for number in [0, 1, 2, 255, 256, 65_535, 0x0102_0304, u32::MAX] {
                let frame = camera.frame(number);
                assert_eq!(read(width, height, &frame), Some(Code { number, flipped: false }));
                let flipped = flip_vertical(width, height, &frame);
                assert_eq!(read(width, height, &flipped), Some(Code { number, flipped: true }));
            }
        }
    }

    #[test]
    fn small_pictures_are_drawn_without_a_number_to_read() {
        for (width, height) in [(2, 2), (16, 16), (17, 300), (300, 17)] {
            let frame = Camera::new(width, height).frame(u32::MAX);
            assert_eq!(read(width, height, &frame), None, "{width}x{height}");
        }
    }

    #[test]
    fn other_pictures_carry_no_number() {
        for luma in [0, 16, BLACK, 128, WHITE, 255] {
            assert_eq!(read(640, 480, &vec![luma; i420_len(640, 480)]), None, "flat {luma}");
        }
        let camera = Camera::new(640, 480);
        let mirrored: Vec<u8> = camera.frame(77)[..640 * 480]
            .chunks(640)
            .flat_map(|row| row.iter().rev().copied())
            .collect();
        assert_eq!(read(640, 480, &mirrored), None);
    }

    #[test]
    fn one_flipped_bit_is_noticed() {
        let camera = Camera::new(320, 240);
        for column in 0..COLUMNS {
            let mut frame = camera.frame(1234);
            for row in frame.chunks_mut(320).take(15) {
                row[(column * 16) as usize..][..16]
                    .iter_mut()
                    .for_each(|pixel| *pixel = BLACK + WHITE - *pixel);
            }
            assert_eq!(read(320, 240, &frame), None);
        }
    }

    #[test]
    fn pictures_move() {
        let camera = Camera::new(640, 480);
        assert_eq!(camera.frame(5), camera.frame(5));
        let below_code = 640 * 80;
        assert_ne!(camera.frame(5)[below_code..], camera.frame(6)[below_code..]);
    }

    #[test]
    fn psnr_of_known_differences() {
        assert_eq!(psnr(&[7, 7], &[7, 7]), f64::INFINITY);
        assert!((psnr(&[0, 0], &[255, 255])).abs() < 1e-9);
    }
}
