//! Scales pictures, plane by plane.

use bytes::{Bytes, BytesMut};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use reframe_proto::i420_len;

use super::Picture;

/// `picture` at `width` x `height` pixels. Returned unchanged if it already has that size, or its
/// data is incomplete.
///
/// Each pixel is a weighted mean of all pixels that it covers, so that lines do not flicker when a
/// picture is halved.
#[must_use]
pub fn scale(picture: &Picture, width: u32, height: u32) -> Picture {
    let same = (picture.width, picture.height) == (width, height);
    if same
        || picture.data.len() != i420_len(picture.width, picture.height)
        || width == 0
        || height == 0
    {
        return picture.clone();
    }
    // This fails only for planes of the wrong length, and the length was checked.
    scale_planes(picture, width, height)
        .map_or_else(|_| picture.clone(), |data| Picture { width, height, data })
}

fn scale_planes(picture: &Picture, width: u32, height: u32) -> Result<Bytes, ResizeError> {
    let mut resizer = Resizer::new();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let mut scaled = BytesMut::zeroed(i420_len(width, height));
    let (mut from, mut to) = (&picture.data[..], &mut scaled[..]);
    for (old, new) in
        plane_sizes(picture.width, picture.height).into_iter().zip(plane_sizes(width, height))
    {
        let (old_plane, old_rest) = from.split_at(area(old));
        let (new_plane, new_rest) = to.split_at_mut(area(new));
        let old_plane = ImageRef::new(old.0, old.1, old_plane, PixelType::U8);
        let new_plane = Image::from_slice_u8(new.0, new.1, new_plane, PixelType::U8);
        if let (Ok(old_plane), Ok(mut new_plane)) = (old_plane, new_plane) {
            resizer.resize(&old_plane, &mut new_plane, &options)?;
        }
        (from, to) = (old_rest, new_rest);
    }
    Ok(scaled.freeze())
}

/// Columns and rows of the Y, U and V planes.
fn plane_sizes(width: u32, height: u32) -> [(u32, u32); 3] {
    let chroma = (width.div_ceil(2), height.div_ceil(2));
    [(width, height), chroma, chroma]
}

fn area((columns, rows): (u32, u32)) -> usize {
    columns as usize * rows as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, [luma, u, v]: [u8; 3]) -> Picture {
        let [y, chroma, _] = plane_sizes(width, height).map(area);
        let data = [vec![luma; y], vec![u; chroma], vec![v; chroma]].concat();
        Picture { width, height, data: data.into() }
    }

    #[test]
    fn a_plain_picture_stays_plain_at_every_size() {
        let sizes = [(1280, 720), (960, 540), (641, 361), (33, 17), (1, 1), (2, 3)];
        for (from, to) in sizes.iter().flat_map(|from| sizes.iter().map(move |to| (*from, *to))) {
            let scaled = scale(&plain(from.0, from.1, [70, 20, 230]), to.0, to.1);
            let expected = plain(to.0, to.1, [70, 20, 230]);
            assert_eq!((scaled.width, scaled.height), to);
            assert!(scaled.data == expected.data, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn halves_are_means_and_stay_where_they_are() {
        // The left half is black, the right half white.
        let mut picture = plain(8, 4, [0, 128, 128]);
        let mut data = picture.data.to_vec();
        (0..4).for_each(|row| data[row * 8 + 4..row * 8 + 8].fill(200));
        picture.data = data.into();
        let half = scale(&picture, 4, 2);
        assert!(half.data[0] < 30 && half.data[3] > 170, "{:?}", &half.data[..8]);
        assert_eq!(half.data[..4], half.data[4..8]);
    }

    #[test]
    fn what_is_not_whole_comes_back_as_it_is() {
        let broken = Picture { width: 64, height: 64, data: Bytes::from_static(&[0; 100]) };
        assert_eq!(scale(&broken, 32, 32).data.len(), 100);
        let fine = plain(64, 64, [1, 2, 3]);
        assert_eq!(scale(&fine, 64, 64).data.as_ptr(), fine.data.as_ptr(), "not even copied");
        assert_eq!(scale(&fine, 0, 64).width, 64);
    }
}
