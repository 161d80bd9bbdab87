//! Finds what moves: regions of a picture that differ from what usually is there.
//!
//! Pure: what it finds follows from the pictures it was shown, and nothing in it knows of time or
//! of drawing.

use reframe_worker::Frame;

/// Columns of the grid that the work is done on, at most: enough to find a hand across the room,
/// and averaging away a camera's noise.
const COLUMNS: u32 = 160;

/// Grey levels beside the background that count as movement: above what noise leaves in a cell's
/// mean.
const MOVED: u8 = 20;

/// Moving cells that are no more cells apart, in either direction, are of one thing: a striped
/// shirt, legs and trunk.
const REACH: u32 = 5;

/// Smaller things, in moving cells, are leaves and noise. 12 of 160x90 cells are a square of 28
/// pixels in 1280x720.
const SMALLEST: u32 = 12;

/// The grey levels beside the background at which a cell is as likely moving as not.
const EVEN: f32 = 16.0;

/// A moving thing, in pixels of the picture it was found in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// How sure it is, 0 to less than 1: the mean over its box of 0 for a cell that does not move,
    /// and for one that moves of how clearly it stands out. Weak contrast lowers it, and so does a
    /// box with much standing still in it.
    pub(super) score: f32,
}

/// What one camera usually shows.
#[derive(Debug, Default)]
pub(super) struct Detector {
    /// Without cells before the first picture.
    background: Grid,
    pictures: u32,
}

/// Grey levels of a picture's cells, row by row.
#[derive(Clone, Debug, Default)]
struct Grid {
    columns: u32,
    rows: u32,
    cells: Vec<u8>,
}

impl Detector {
    /// What moves in the next picture of this camera, which is RGB24. The first picture, and the
    /// first of another size, only becomes the background.
    pub(super) fn detect(&mut self, picture: &Frame) -> Vec<Region> {
        let cell = picture.width().div_ceil(COLUMNS);
        let grid = shrink(picture, cell);
        if (self.background.columns, self.background.rows) != (grid.columns, grid.rows) {
            self.background = grid;
            return Vec::new();
        }
        let mut moved = grid.clone();
        for (cell, usual) in moved.cells.iter_mut().zip(&self.background.cells) {
            *cell = cell.abs_diff(*usual);
        }
        self.learn(&grid);
        let fit = |region: Region| Region {
            left: region.left * cell,
            top: region.top * cell,
            // The last column and row of cells may reach over the edge.
            width: (region.width * cell).min(picture.width() - region.left * cell),
            height: (region.height * cell).min(picture.height() - region.top * cell),
            ..region
        };
        regions(&moved).into_iter().map(fit).collect()
    }

    /// The background goes one level towards every second picture: what passes by leaves no trace
    /// in it, what stays has become background some seconds later. (A running mean has a trace of
    /// everything, and has to be told what not to learn, which it then never does.)
    fn learn(&mut self, grid: &Grid) {
        self.pictures = self.pictures.wrapping_add(1);
        if self.pictures.is_multiple_of(2) {
            for (usual, now) in self.background.cells.iter_mut().zip(&grid.cells) {
                *usual = usual.saturating_add_signed(now.cmp(usual) as i8);
            }
        }
    }
}

/// Means of brightness over squares of `cell` pixels; those at the right and lower edge may be cut.
fn shrink(picture: &Frame, cell: u32) -> Grid {
    let (columns, rows) = (picture.width().div_ceil(cell), picture.height().div_ceil(cell));
    let (row_bytes, cell) = (picture.width() as usize * 3, cell as usize);
    let mut cells = Vec::with_capacity(columns as usize * rows as usize);
    let mut sums = vec![0_u32; columns as usize];
    for band in picture.data().chunks(row_bytes * cell) {
        sums.fill(0);
        for row in band.chunks_exact(row_bytes) {
            for (sum, pixels) in sums.iter_mut().zip(row.chunks(cell * 3)) {
                // BT.601 in 256ths.
                let luma = |pixel: &[u8]| {
                    77 * u32::from(pixel[0]) + 150 * u32::from(pixel[1]) + 29 * u32::from(pixel[2])
                };
                *sum += pixels.chunks_exact(3).map(luma).sum::<u32>() / 256;
            }
        }
        let band_rows = band.len() / row_bytes;
        cells.extend(sums.iter().enumerate().map(|(column, sum)| {
            let cell_columns = cell.min(row_bytes / 3 - column * cell);
            u8::try_from(*sum as usize / (cell_columns * band_rows))
                .expect("a mean of bytes is a byte")
        }));
    }
    Grid { columns, rows, cells }
}

/// The parts of what moved, in cells, the surest first.
fn regions(moved: &Grid) -> Vec<Region> {
    let mut parts = parts(moved);
    parts.retain(|part| part.cells >= SMALLEST);
    let mut regions: Vec<Region> = parts.iter().map(Part::region).collect();
    regions.sort_by(|a, b| b.score.total_cmp(&a.score));
    regions
}

/// One moving thing: its corners, cells and how clearly they stand out in all.
#[derive(Debug, Clone, Copy)]
struct Part {
    low: (u32, u32),
    high: (u32, u32),
    cells: u32,
    clarity: f32,
}

impl Part {
    const NONE: Self = Self { low: (u32::MAX, u32::MAX), high: (0, 0), cells: 0, clarity: 0.0 };

    fn add(&mut self, (x, y): (u32, u32), difference: u8) {
        self.low = (self.low.0.min(x), self.low.1.min(y));
        self.high = (self.high.0.max(x), self.high.1.max(y));
        self.cells += 1;
        self.clarity += f32::from(difference) / (f32::from(difference) + EVEN);
    }

    fn region(&self) -> Region {
        let (width, height) = (self.high.0 - self.low.0 + 1, self.high.1 - self.low.1 + 1);
        let score = self.clarity / (width * height) as f32;
        Region { left: self.low.0, top: self.low.1, width, height, score }
    }
}

/// The things that the moving cells make up.
fn parts(moved: &Grid) -> Vec<Part> {
    let level = |x: u32, y: u32| moved.cells[(y * moved.columns + x) as usize];
    let part = |cells: Vec<(u32, u32)>| {
        let mut part = Part::NONE;
        cells.into_iter().for_each(|(x, y)| part.add((x, y), level(x, y)));
        part
    };
    let groups = groups((moved.columns, moved.rows), REACH, |x, y| level(x, y) > MOVED);
    groups.into_iter().map(part).collect()
}

/// Collects the cells that `counts` says are any, those within `reach` of each other in one group.
pub(super) fn groups(
    (columns, rows): (u32, u32),
    reach: u32,
    counts: impl Fn(u32, u32) -> bool,
) -> Vec<Vec<(u32, u32)>> {
    let mut taken = vec![false; (columns * rows) as usize];
    let mut take = |x: u32, y: u32| {
        counts(x, y) && !std::mem::replace(&mut taken[(y * columns + x) as usize], true)
    };
    let mut groups = Vec::new();
    for (x, y) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))) {
        if !take(x, y) {
            continue;
        }
        let mut group = vec![(x, y)];
        let mut next = 0;
        while let Some((x, y)) = group.get(next).copied() {
            next += 1;
            for near_y in y.saturating_sub(reach)..(y + reach + 1).min(rows) {
                for near_x in x.saturating_sub(reach)..(x + reach + 1).min(columns) {
                    if take(near_x, near_y) {
                        group.push((near_x, near_y));
                    }
                }
            }
        }
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests;
