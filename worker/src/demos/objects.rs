//! The demo `detect-objects`: boxes around red, green and blue things, which a network finds in the
//! frames of all sessions at once. The twin of `detect_objects.py` of the Python examples.

use std::collections::BTreeMap;
use std::sync::Arc;

use reframe_worker::{
    AdditionalOutputs, Batched, Frame, HandlerError, Json, Number, OutputComponent, Session,
    Slider, Stream, StreamBuilder, VideoStreamHandler, json,
};
use rten::{LoadError, Model, ModelOptions, RunOptions, ThreadPool, Value, op_registry};

use super::boxes;
use super::motion::{Region, groups};

/// Made by `worker/python/examples/make_detector.py`, which says what goes in and comes out.
const MODEL: &[u8] = include_bytes!("../../assets/detector.onnx");

/// Of the model's pictures.
const SIZE: (u32, u32) = (320, 180);

/// Columns and rows of the cells that it has a score for.
const GRID: (u32, u32) = (80, 45);

/// Names and colours of its classes, in its order. The blue is one that black letters show on.
const CLASSES: [(&str, [u8; 3]); 3] =
    [("red", [255, 60, 60]), ("green", [0, 220, 0]), ("blue", [90, 140, 255])];

/// Of what is found, in cells.
const SMALLEST: usize = 6;

/// Pixels of a picture of the model's size, as BGR24.
type Pixels = Vec<u8>;

/// For each class, row by row, how sure the model is of each cell.
type Scores = Vec<f32>;

pub(super) fn stream() -> StreamBuilder {
    let model = model();
    let handler = move |frame: Frame, session: &Session| detect(&model, frame, session);
    Stream::builder(VideoStreamHandler::new(handler).skip_frames(true))
        .movable(true)
        .additional_inputs([Slider::new("confidence", 0.05..=0.95)
            .step(0.05)
            .value(0.5)
            .label("Confidence")])
        .additional_outputs([
            OutputComponent::from(Number::new("objects").label("Objects")),
            Json::new("classes").label("Of each class").into(),
        ])
}

/// The model, and how it is run.
struct Detector {
    model: Model,
    options: RunOptions,
}

fn model() -> Batched<Pixels, Scores> {
    Batched::builder(|_replica| Ok(Detector::load()?), Detector::scores).build()
}

impl Detector {
    fn load() -> Result<Self, LoadError> {
        let operators = op_registry!(AveragePool, Cast, Conv, Relu, Sigmoid, Transpose);
        let model = ModelOptions::with_ops(operators).load_static_slice(MODEL)?;
        // Its default is every core, which the video's codecs need too.
        let one = ThreadPool::with_num_threads(1);
        Ok(Self { model, options: RunOptions::default().with_thread_pool(Some(Arc::new(one))) })
    }

    /// Any number of pictures: the model has a symbol where that number goes.
    fn scores(
        &mut self,
        pictures: &[Pixels],
    ) -> Result<Vec<Result<Scores, HandlerError>>, HandlerError> {
        let shape = [pictures.len(), SIZE.1 as usize, SIZE.0 as usize, 3];
        let batch = Value::from_shape(&shape, pictures.concat())?;
        let output = self.model.run_one(batch.into(), Some(self.options.clone()))?;
        let ([_, classes, rows, columns], scores) = output.into_shape_vec::<f32, 4>()?;
        let each = scores.chunks_exact(classes * rows * columns);
        Ok(each.map(|scores| Ok(scores.to_vec())).collect())
    }
}

fn detect(
    model: &Batched<Pixels, Scores>,
    mut frame: Frame,
    session: &Session,
) -> Result<(Frame, AdditionalOutputs), HandlerError> {
    let confidence = session.inputs().get("confidence")?;
    // Scaled here, on the session's thread: the model's is everybody's.
    let scores = model.call(scale(&frame))?;
    let found = find(&scores, confidence, (frame.width(), frame.height()));
    let mut counts = BTreeMap::new();
    for (class, region) in &found {
        let (name, colour) = CLASSES[*class];
        boxes::draw(&mut frame, region, colour, &format!("{name} {:.2}", region.score));
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok((frame, AdditionalOutputs::new([json!(found.len()), json!(counts)])))
}

/// An RGB24 picture in the model's size and order of channels: means of the pixels that come
/// together, or the same pixel several times.
fn scale(picture: &Frame) -> Pixels {
    // The pixels that become the one at `at`, one at least.
    let span = |at: u32, to: u32, from: u32| {
        let (start, end) = (at * from / to, (at + 1) * from / to);
        start as usize..end.max(start + 1) as usize
    };
    let rows: Vec<&[[u8; 3]]> = picture.rows().map(|row| row.as_chunks().0).collect();
    let mut pixels = Vec::with_capacity((SIZE.0 * SIZE.1 * 3) as usize);
    for y in 0..SIZE.1 {
        let rows = &rows[span(y, SIZE.1, picture.height())];
        for x in 0..SIZE.0 {
            let columns = span(x, SIZE.0, picture.width());
            let (mut sums, count) = ([0_usize; 3], rows.len() * columns.len());
            for [red, green, blue] in rows.iter().flat_map(|row| &row[columns.clone()]) {
                sums[0] += usize::from(*blue);
                sums[1] += usize::from(*green);
                sums[2] += usize::from(*red);
            }
            let mean = |sum| u8::try_from((sum + count / 2) / count).expect("a mean of bytes");
            pixels.extend(sums.map(mean));
        }
    }
    pixels
}

/// What is in a picture of this size: the number of its class, and where. Cells that touch, if only
/// at a corner, are of one thing.
fn find(scores: &[f32], confidence: f32, (width, height): (u32, u32)) -> Vec<(usize, Region)> {
    let mut found = Vec::new();
    let cells_of = scores.chunks_exact((GRID.0 * GRID.1) as usize);
    for (class, cells) in cells_of.enumerate() {
        let score = |x: u32, y: u32| cells[(y * GRID.0 + x) as usize];
        let mut things = groups(GRID, 1, |x, y| score(x, y) >= confidence);
        things.retain(|thing| thing.len() >= SMALLEST);
        for thing in things {
            let (mut low, mut high, mut best) = (GRID, (0, 0), 0.0_f32);
            for (x, y) in thing {
                low = (low.0.min(x), low.1.min(y));
                high = (high.0.max(x + 1), high.1.max(y + 1));
                best = best.max(score(x, y));
            }
            let (left, top) = (low.0 * width / GRID.0, low.1 * height / GRID.1);
            let (right, bottom) = (high.0 * width / GRID.0, high.1 * height / GRID.1);
            let (width, height) = (right - left, bottom - top);
            found.push((class, Region { left, top, width, height, score: best }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class, a place, a size and a colour.
    type Square = (usize, (i32, i32), (u32, u32), [u8; 3]);

    const SQUARES: [Square; 4] = [
        (0, (100, 60), (120, 120), [230, 20, 30]),
        (0, (420, 200), (80, 120), [200, 0, 0]),
        (1, (300, 40), (80, 60), [30, 220, 40]),
        (2, (240, 220), (120, 120), [50, 60, 240]),
    ];

    /// Grey that gets brighter downwards, with the first `count` squares on it.
    fn picture(count: usize, (width, height): (u32, u32)) -> Frame {
        let mut picture = Frame::filled(width, height, [0; 3]).unwrap();
        for y in 0..height {
            let grey = [u8::try_from(40 + y * 170 / height).unwrap(); 3];
            boxes::fill(&mut picture, (0, y.cast_signed()), (width, 1), grey);
        }
        for (_, at, size, colour) in &SQUARES[..count] {
            boxes::fill(&mut picture, *at, *size, *colour);
        }
        picture
    }

    fn score(pictures: &[Pixels]) -> Vec<Scores> {
        let scores = Detector::load().unwrap().scores(pictures).unwrap();
        scores.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn each_coloured_square_is_found_once_and_nothing_in_grey() {
        let size = (640, 360);
        let [squares, grey] = [4, 0].map(|count| scale(&picture(count, size)));
        let [squares, grey] = score(&[squares, grey]).try_into().unwrap();
        assert_eq!(find(&grey, 0.05, size), []);
        let found = find(&squares, 0.5, size);
        assert_eq!(found.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [0, 0, 1, 2]);
        for ((_, at, expected, _), (_, region)) in SQUARES.iter().zip(&found) {
            let expected = [at.0.cast_unsigned(), at.1.cast_unsigned(), expected.0, expected.1];
            let got = [region.left, region.top, region.width, region.height];
            // A cell at most on each side.
            assert!(got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 16), "{found:?}");
            assert!(region.score > 0.9 && region.score <= 1.0, "{found:?}");
        }
    }

    #[test]
    fn a_batch_of_pictures_is_each_of_them() {
        let pictures = [(4, (640, 360)), (0, (320, 180)), (1, (1281, 719)), (1, (200, 150))]
            .map(|(count, size)| scale(&picture(count, size)));
        for (together, alone) in score(&pictures).iter().zip(&pictures) {
            let alone = score(std::slice::from_ref(alone));
            let differences = together.iter().zip(&alone[0]).map(|(a, b)| (a - b).abs());
            assert!(differences.fold(0.0, f32::max) < 1e-5);
        }
    }
}
