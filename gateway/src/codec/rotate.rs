//! Turning pictures upright. Phones send what the sensor sees, together with how the phone was
//! held.

use bytes::Bytes;
use reframe_proto::i420_len;

use super::Picture;
use super::picture::plane_sizes;

/// How far a picture must be turned clockwise to be upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rotation {
    #[default]
    Upright,
    Quarter,
    Half,
    ThreeQuarters,
}

impl Rotation {
    /// From the video orientation extension: its two lowest bits count quarter turns (3GPP TS
    /// 26.114, section 7.4.5). The others give the camera and whether to mirror, which browsers
    /// leave to the receiver.
    pub(crate) fn from_orientation(byte: u8) -> Self {
        [Self::Upright, Self::Quarter, Self::Half, Self::ThreeQuarters][usize::from(byte & 3)]
    }

    /// 0, 90, 180 or 270; `None` for anything else.
    pub(crate) fn from_degrees(degrees: u32) -> Option<Self> {
        [Self::Upright, Self::Quarter, Self::Half, Self::ThreeQuarters]
            .into_iter()
            .find(|one| one.degrees() == degrees)
    }

    pub(crate) fn degrees(self) -> u32 {
        90 * self as u32
    }
}

/// The picture turned clockwise by `rotation`. Copies every pixel, or none if it is upright.
pub(crate) fn turn(picture: Picture, rotation: Rotation) -> Picture {
    if rotation == Rotation::Upright {
        return picture;
    }
    let mut turned = Vec::with_capacity(picture.data.len());
    let mut rest = &picture.data[..];
    for (columns, rows) in plane_sizes(picture.width, picture.height) {
        let (plane, after) = rest.split_at(columns * rows);
        rest = after;
        turn_plane(plane, columns, rows, rotation, &mut turned);
    }
    let (width, height) = match rotation {
        Rotation::Half | Rotation::Upright => (picture.width, picture.height),
        Rotation::Quarter | Rotation::ThreeQuarters => (picture.height, picture.width),
    };
    debug_assert_eq!(turned.len(), i420_len(width, height));
    Picture { width, height, data: Bytes::from(turned) }
}

/// A plane is read in squares of this side: their rows and columns stay in the L1 cache.
const BLOCK: usize = 32;

fn turn_plane(plane: &[u8], columns: usize, rows: usize, rotation: Rotation, into: &mut Vec<u8>) {
    if rotation == Rotation::Half {
        into.extend(plane.iter().rev());
        return;
    }
    let start = into.len();
    into.resize(start + plane.len(), 0);
    let turned = &mut into[start..];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for x in left..columns.min(left + BLOCK) {
                for y in top..rows.min(top + BLOCK) {
                    // A row of the result is a column read from the bottom up; or from the top
                    // down, and the rows in reverse order.
                    let place = match rotation {
                        Rotation::Quarter => x * rows + (rows - 1 - y),
                        _ => (columns - 1 - x) * rows + y,
                    };
                    turned[place] = plane[y * columns + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that count up, so that a misplaced one is noticed.
    fn counting(width: u32, height: u32) -> Picture {
        let data = (0..i420_len(width, height))
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect::<Vec<_>>();
        Picture { width, height, data: data.into() }
    }

    #[test]
    fn a_quarter_turn_is_clockwise() {
        // 1 2 3     4 1
        // 4 5 6  -> 5 2
        //           6 3
        let picture = Picture {
            width: 3,
            height: 2,
            data: Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        };
        let turned = turn(picture.clone(), Rotation::Quarter);
        assert_eq!((turned.width, turned.height), (2, 3));
        assert_eq!(turned.data[..], [4, 1, 5, 2, 6, 3, 7, 8, 9, 10]);
        let turned = turn(picture, Rotation::ThreeQuarters);
        assert_eq!(turned.data[..], [3, 6, 2, 5, 1, 4, 8, 7, 10, 9]);
    }

    #[test]
    fn turns_add_up_in_every_size() {
        use Rotation::{Half, Quarter, ThreeQuarters, Upright};
        for (width, height) in [(1, 1), (2, 3), (33, 17), (64, 48), (97, 130)] {
            let picture = counting(width, height);
            for (first, second, both) in [
                (Quarter, ThreeQuarters, Upright),
                (Half, Half, Upright),
                (Quarter, Quarter, Half),
                (Half, Quarter, ThreeQuarters),
            ] {
                let twice = turn(turn(picture.clone(), first), second);
                let once = turn(picture.clone(), both);
                assert_eq!((twice.width, twice.height), (once.width, once.height));
                assert_eq!(twice.data, once.data, "{width}x{height}, {first:?} and {second:?}");
            }
        }
    }

    #[test]
    fn rotations_are_read_from_both_wires() {
        assert_eq!(
            [0, 1, 2, 3, 0x0d].map(|byte| Rotation::from_orientation(byte).degrees()),
            [0, 90, 180, 270, 90]
        );
        assert_eq!(Rotation::from_degrees(270), Some(Rotation::ThreeQuarters));
        assert_eq!(Rotation::from_degrees(45), None);
    }
}
