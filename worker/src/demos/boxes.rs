//! Draws regions into a picture: a frame, and a label in a font of 8x8 bits that is part of the
//! program.

use font8x8::legacy::BASIC_LEGACY;
use reframe_worker::Frame;

use super::motion::Region;

/// Pixels of a character's side before it is enlarged.
const GLYPH: u32 = 8;

const INK: [u8; 3] = [0, 0, 0];

/// Fills a rectangle, as much of it as is in the RGB24 picture.
pub(super) fn fill(canvas: &mut Frame, (left, top): (i32, i32), size: (u32, u32), colour: [u8; 3]) {
    let within = |from: i32, length: u32, limit: u32| {
        let end = from.saturating_add_unsigned(length).clamp(0, signed(limit));
        from.clamp(0, signed(limit)).cast_unsigned() as usize..end.cast_unsigned() as usize
    };
    let (columns, rows) =
        (within(left, size.0, canvas.width()), within(top, size.1, canvas.height()));
    let row_bytes = canvas.width() as usize * 3;
    for row in canvas.data_mut().chunks_exact_mut(row_bytes).take(rows.end).skip(rows.start) {
        row[columns.start * 3..columns.end * 3].as_chunks_mut().0.fill(colour);
    }
}

/// A box with its label above it, or inside at the picture's upper edge.
pub(super) fn draw(canvas: &mut Frame, region: &Region, colour: [u8; 3], label: &str) {
    // Lines of 2 and letters of 16 pixels in 720 rows.
    let scale = (canvas.height() / 360).max(1);
    let (left, top) = (signed(region.left), signed(region.top));
    let (width, height, line) = (region.width, region.height, 2 * scale);
    let (right, bottom) =
        (left + signed(width.saturating_sub(line)), top + signed(height.saturating_sub(line)));
    fill(canvas, (left, top), (width, line.min(height)), colour);
    fill(canvas, (left, bottom), (width, line.min(height)), colour);
    fill(canvas, (left, top), (line.min(width), height), colour);
    fill(canvas, (right, top), (line.min(width), height), colour);
    let (width, height) = (GLYPH * scale * length(label), GLYPH * scale);
    let above = (top - signed(height)).max(0);
    let within = left.min(signed(canvas.width().saturating_sub(width)));
    fill(canvas, (within, above), (width, height), colour);
    write(canvas, label, (within, above), scale);
}

/// ASCII only; what lies outside the picture is left out.
fn write(canvas: &mut Frame, text: &str, (left, top): (i32, i32), scale: u32) {
    for (place, byte) in (0..).zip(text.bytes()) {
        let glyph = BASIC_LEGACY.get(usize::from(byte)).copied().unwrap_or_default();
        for (y, bits) in (0..).zip(glyph) {
            for x in (0..GLYPH).filter(|x| bits >> x & 1 == 1) {
                let at = (left + signed((place * GLYPH + x) * scale), top + signed(y * scale));
                fill(canvas, at, (scale, scale), INK);
            }
        }
    }
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).expect("labels are short")
}

fn signed(pixels: u32) -> i32 {
    i32::try_from(pixels).expect("a frame's sides are at most 4096")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: [u8; 3] = [255, 200, 0];

    #[test]
    fn a_box_has_its_frame_on_its_edge_and_its_label_above() {
        let mut canvas = Frame::filled(200, 100, [0; 3]).unwrap();
        let region = Region { left: 50, top: 40, width: 60, height: 30, score: 0.87 };
        draw(&mut canvas, &region, EDGE, "0.87");
        let pixel = |x: usize, y: usize| canvas.data().as_chunks::<3>().0[y * 200 + x];
        for (x, y) in [(50, 40), (109, 40), (50, 69), (109, 69), (51, 41), (80, 69)] {
            assert_eq!(pixel(x, y), EDGE, "{x},{y}");
        }
        for (x, y) in [(52, 42), (80, 55), (110, 50), (49, 50)] {
            assert_eq!(pixel(x, y), [0; 3], "{x},{y}");
        }
        let label = (50..82).flat_map(|x| (32..40).map(move |y| (x, y)));
        let ink = label.filter(|(x, y)| pixel(*x, *y) == INK).count();
        assert!((40..150).contains(&ink), "{ink} pixels of 4 characters");
    }

    #[test]
    fn a_box_at_any_edge_stays_in_the_picture() {
        for (width, height) in [(1, 1), (16, 16), (33, 17), (1920, 1080)] {
            let mut canvas = Frame::filled(width, height, [0; 3]).unwrap();
            for region in
                [(0, 0, width, height), (width - 1, height - 1, 1, 1), (0, height / 2, width, 1)]
            {
                let (left, top, width, height) = region;
                let region = Region { left, top, width, height, score: 0.5 };
                draw(&mut canvas, &region, EDGE, "green 0.50");
            }
            assert!(canvas.data().iter().any(|byte| *byte != 0));
        }
    }
}
