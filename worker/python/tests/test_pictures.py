"""What may be returned as a picture, and what is said of anything else."""

from __future__ import annotations

import random

import numpy as np
import pytest

from reframe._pictures import picture


def look(returned, wanted="bgr24"):
    array, pixels = picture(returned, wanted, "detect")
    return array.shape, pixels


@pytest.mark.parametrize("wanted", ["bgr24", "rgb24", "gray8", "i420"])
def test_colours_are_the_streams_own(wanted):
    expected = wanted if wanted in ("bgr24", "rgb24") else "bgr24"
    assert look(np.zeros((4, 6, 3), np.uint8), wanted) == ((4, 6, 3), expected)
    assert look(np.zeros((4, 6, 4), np.uint8), wanted) == ((4, 6, 4), expected)


def test_two_dimensions_are_grey():
    for wanted in ("bgr24", "rgb24", "gray8"):
        assert look(np.zeros((6, 4), np.uint8), wanted) == ((6, 4), "gray8")
    assert look(np.zeros((6, 4, 1), np.uint8)) == ((6, 4), "gray8")
    assert look(np.zeros((6, 4), np.uint8), "i420") == ((6, 4), "i420")
    # No I420 picture has such a height or width.
    assert look(np.zeros((7, 4), np.uint8), "i420") == ((7, 4), "gray8")
    assert look(np.zeros((6, 5), np.uint8), "i420") == ((6, 5), "gray8")


def test_views_are_not_copied():
    array = np.zeros((8, 6, 3), np.uint8)
    array.flags.writeable = False
    whole = np.asfortranarray(array)
    for view in (array[::-1], array[:, ::-1], array[..., ::-1], array[2:5, 1:4], array[::2], whole):
        made, _ = picture(view, "bgr24", "detect")
        assert made is view


def test_any_view_is_taken():
    """Of random slices, transposes and reversals, each is taken as it is, or is no picture."""
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(500):
        array = np.arange(5 * 7 * 4, dtype=np.uint8).reshape(5, 7, 4)
        for axis in range(3):
            start, stop = sorted(draw.sample(range(array.shape[axis] + 1), 2))
            array = array[(slice(None),) * axis + (slice(start, stop),)]
            if draw.random() < 0.5:
                array = np.flip(array, axis)
        if draw.random() < 0.3:
            array = array.transpose(1, 0, 2)
        if array.shape[2] in (1, 3, 4):
            made, _ = picture(array, "rgb24", "detect")
            assert np.array_equal(made.reshape(array.shape), np.ascontiguousarray(array))
        else:
            with pytest.raises(ValueError, match="returned an array of shape"):
                picture(array, "rgb24", "detect")


def test_masks_are_white():
    mask = np.eye(4, 6, dtype=bool)[::-1]
    made, pixels = picture(mask, "bgr24", "detect")
    assert pixels == "gray8"
    assert np.array_equal(made, np.where(mask, 255, 0))
    assert made.dtype == np.uint8


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (
            np.zeros((4, 6, 3), np.float32),
            'return (x * 255).clip(0, 255).astype("uint8") if it is 0',
        ),
        (np.zeros((4, 6, 3)), 'x.clip(0, 255).astype("uint8") if it is 0 to 255'),
        (np.zeros((4, 6, 3), np.int64), "of int64, but a picture is uint8: return x.clip(0, 255)"),
        (np.zeros((4, 6, 3), np.uint16), "of uint16"),
        (np.zeros((4, 6, 3), complex), "of complex128, but a picture is uint8"),
        (np.zeros((4, 6, 3), object), "of object"),
        (np.zeros((0, 6, 3), np.uint8), "an empty picture, of shape (0, 6, 3)"),
        (np.zeros((4, 6, 0), np.uint8), "an empty picture"),
        (np.uint8(3), "of shape ()"),
        (np.zeros((), np.uint8), "of shape ()"),
        (np.zeros(12, np.uint8), "of shape (12,)"),
        (np.zeros((3, 4, 6), np.uint8), "return x.transpose(1, 2, 0)"),
        (np.zeros((1, 4, 6, 3), np.uint8), "return x[0]"),
        (np.zeros((2, 4, 6, 3), np.uint8), "it is 2 pictures"),
        (np.zeros((4, 6, 2), np.uint8), "of shape (4, 6, 2)"),
        (np.zeros((4097, 6, 3), np.uint8), "6x4097: each side may have 4096"),
        (np.zeros((6, 4097), np.uint8), "4097x6"),
        ([[0, 0], [0, 0]], 'np.asarray(x, dtype="uint8")'),
        (b"picture", "returned bytes"),
        ({}, "returned dict"),
        (object, "returned the class object"),
    ],
)
def test_what_is_no_picture(returned, says):
    with pytest.raises((TypeError, ValueError)) as error:
        picture(returned, "bgr24", "detect")
    assert says in str(error.value)
    assert str(error.value).startswith("detect returned")


def test_i420_may_be_higher_than_its_picture():
    assert look(np.zeros((6144, 4), np.uint8), "i420")[1] == "i420"
    with pytest.raises(ValueError, match="4x4100"):
        picture(np.zeros((6150, 4), np.uint8), "i420", "detect")


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "CMYK", "F", "I", "LA", "YCbCr"])
def test_pil_images_are_rgb_whatever_the_stream_is(mode):
    image = pytest.importorskip("PIL.Image").new("RGB", (6, 4), (200, 0, 0)).convert(mode)
    array, pixels = picture(image, "bgr24", "detect")
    grey = mode in ("L", "1")
    assert (array.shape, pixels) == (((4, 6), "gray8") if grey else ((4, 6, 3), "rgb24"))
    assert array.dtype == np.uint8


class Tensor:
    """The part of torch's that is used."""

    def __init__(self, array, dtype="torch.uint8"):
        self.array, self.dtype, self.calls = array, dtype, []

    def detach(self):
        self.calls.append("detach")
        return self

    def cpu(self):
        self.calls.append("cpu")
        return self

    def numpy(self):
        assert self.calls == ["detach", "cpu"]
        return self.array


def test_tensors():
    assert look(Tensor(np.zeros((4, 6, 3), np.uint8))) == ((4, 6, 3), "bgr24")
    assert look(Tensor(np.zeros((4, 6), bool), "torch.bool")) == ((4, 6), "gray8")
    with pytest.raises(TypeError, match="clamp") as error:
        picture(Tensor(None, "torch.float16"), "bgr24", "detect")
    assert "a tensor of torch.float16" in str(error.value)
    with pytest.raises(TypeError, match=r"return x\.clamp"):
        picture(Tensor(None, "torch.int32"), "bgr24", "detect")
    with pytest.raises(ValueError, match="torch: permute"):
        picture(Tensor(np.zeros((3, 4, 6), np.uint8)), "bgr24", "detect")


def test_other_arrays():
    class Array:
        shape = (4, 6, 3)

        def __array__(self, dtype=None, copy=None):
            return np.zeros(self.shape, np.uint8)

    assert look(Array()) == ((4, 6, 3), "bgr24")
