//! The test aid `ticker`: pictures that carry their number, from a generator that a test can stall
//! and end.

use std::time::Duration;

use reframe_worker::{
    Checkbox, Frame, HandlerError, InputComponent, Number, PixelFormat, Session, Stream,
    StreamBuilder, VideoStreamHandler,
};

/// How often a stalled aid looks whether it still is to be.
const LOOK: Duration = Duration::from_millis(5);

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// The code of the test harness (`tests/src/pattern.rs` reads it): in the top eighth 2 rows of 20
/// black or white blocks, 32 bits of number and 8 of checksum, most significant bit first.
const COLUMNS: u32 = 20;
const ROWS: u32 = 2;
const CODE_HEIGHT: u32 = HEIGHT / 8;

/// Luma of a 0, a 1, and of the rest.
const BLACK: u8 = 40;
const WHITE: u8 = 215;
const GREY: u8 = 128;

pub(super) fn stream(fps: f64) -> StreamBuilder {
    let inputs: [InputComponent; 2] = [
        Checkbox::new("stall").info("The generator makes nothing while it is set.").into(),
        Number::new("stop_after")
            .minimum(0.0)
            .value(0.0)
            .info("Pictures after which it ends; 0 is never.")
            .into(),
    ];
    Stream::builder(VideoStreamHandler::generator(ticks).fps(fps)).additional_inputs(inputs)
}

fn ticks(
    session: Session,
) -> Result<impl Iterator<Item = Result<Frame, HandlerError>>, HandlerError> {
    let mut number = 0;
    Ok(std::iter::from_fn(move || tick(&mut number, &session).transpose()))
}

#[expect(clippy::disallowed_methods, reason = "stands for a source that blocks")]
fn tick(number: &mut u32, session: &Session) -> Result<Option<Frame>, HandlerError> {
    while session.inputs().get("stall")? && !session.is_closed() {
        std::thread::sleep(LOOK);
    }
    let last: u32 = session.inputs().get("stop_after")?;
    if last > 0 && *number >= last {
        return Ok(None);
    }
    let frame = draw(*number)?;
    *number += 1;
    Ok(Some(frame))
}

/// The number in the code, and a bar that wanders below it for people.
fn draw(number: u32) -> Result<Frame, HandlerError> {
    let mut data = vec![GREY; PixelFormat::I420.len(WIDTH, HEIGHT)];
    let bits = u64::from(number) << 8 | u64::from(checksum(number));
    for (y, row) in (0..HEIGHT).zip(data.chunks_exact_mut(WIDTH as usize)) {
        if y < CODE_HEIGHT {
            for (x, pixel) in (0..).zip(row) {
                let bit = y * ROWS / CODE_HEIGHT * COLUMNS + x * COLUMNS / WIDTH;
                *pixel = if bits >> (ROWS * COLUMNS - 1 - bit) & 1 == 1 { WHITE } else { BLACK };
            }
        } else {
            let left = (number % 75 * 4) as usize;
            row[left..left + 20].fill(WHITE);
        }
    }
    Ok(Frame::new(PixelFormat::I420, WIDTH, HEIGHT, data)?)
}

/// Never 0 for number 0, so that a black picture carries no number.
fn checksum(number: u32) -> u8 {
    number
        .to_be_bytes()
        .iter()
        .fold(0xa5_u8, |sum, byte| sum.rotate_left(3) ^ byte.wrapping_mul(29))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_carries_its_number_and_checksum() {
        let frame = draw(0x0102_0304).unwrap();
        let bits = (0..ROWS * COLUMNS).fold(0_u64, |bits, bit| {
            let (x, y) = (
                (bit % COLUMNS * 2 + 1) * WIDTH / COLUMNS / 2,
                (bit / COLUMNS * 2 + 1) * CODE_HEIGHT / ROWS / 2,
            );
            bits << 1 | u64::from(frame.data()[(y * WIDTH + x) as usize] == WHITE)
        });
        assert_eq!((bits >> 8, bits & 0xff), (0x0102_0304, u64::from(checksum(0x0102_0304))));
        assert_ne!(draw(0).unwrap(), draw(1).unwrap());
    }
}
