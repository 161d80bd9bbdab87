"""Pictures are copied as numpy itself would, whatever their strides; by the compiled half."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from reframe import _core

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "__file__"), reason="only with the compiled half"
)

SLICES = [slice(None), slice(None, None, -1), slice(1, None), slice(None, None, 2), slice(5, 1, -2)]


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_with_any_strides(channels):
    image = np.random.default_rng(7).integers(0, 256, (11, 13, channels), np.uint8)
    views = [image[rows, columns] for rows, columns in itertools.product(SLICES, SLICES)]
    views += [np.asfortranarray(image), image.transpose(1, 0, 2), image.copy()[::-1, ::-1]]
    for view in views:
        assert view.size
        format, data = _core.packed(view, "bgr24")
        assert format == "bgr24"
        assert data == np.ascontiguousarray(view[..., :3]).tobytes(), view.strides


def test_colours_in_reverse_are_the_other_format():
    image = np.random.default_rng(8).integers(0, 256, (9, 7, 3), np.uint8)
    for view in (image[..., ::-1], image[::-1, :, ::-1], image[2:, 1:5, ::-1]):
        format, data = _core.packed(view, "rgb24")
        colours = np.frombuffer(data, np.uint8).reshape(view.shape)
        wanted = view if format == "rgb24" else view[..., ::-1]
        assert np.array_equal(colours, wanted)


def test_grey_and_planes_with_any_strides():
    image = np.random.default_rng(9).integers(0, 256, (12, 10), np.uint8)
    for rows, columns in itertools.product(SLICES, SLICES):
        view = image[rows, columns]
        assert _core.packed(view, "gray8")[1] == np.ascontiguousarray(view).tobytes()
        assert _core.packed(view[..., None], "gray8")[1] == np.ascontiguousarray(view).tobytes()
    for view in (image, image[::-1], image[:, ::-1], np.asfortranarray(image)):
        assert _core.packed(view, "i420")[1] == np.ascontiguousarray(view).tobytes()


def test_views_by_chance():
    chance = random.Random(11)
    image = np.random.default_rng(11).integers(0, 256, (24, 24, 3), np.uint8)

    def some(length):
        first, last = sorted((chance.randrange(length), chance.randrange(1, length + 1)))
        step = chance.choice([1, 1, 2, 3])
        return (
            slice(first, max(first + 1, last), step)
            if chance.random() < 0.5
            else (slice(max(first, last - 1), first - 1 if first else None, -step))
        )

    for _ in range(2_000):
        view = image[some(24), some(24)]
        if chance.random() < 0.3:
            view = view.swapaxes(0, 1)
        assert _core.packed(view, "rgb24")[1] == np.ascontiguousarray(view).tobytes()


def test_broadcast_and_read_only_views():
    row = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    view = np.broadcast_to(row, (5, 4, 3))
    assert _core.packed(view, "bgr24")[1] == np.ascontiguousarray(view).tobytes()
    assert _core.packed(memoryview(row.tobytes()).cast("B", (1, 4, 3)), "bgr24")[1] == row.tobytes()


@pytest.mark.parametrize(
    ("picture", "format", "says"),
    [
        (np.zeros((4, 4, 3), np.uint16), "bgr24", "uint8"),
        (np.zeros((4, 4, 2), np.uint8), "bgr24", r"\(height, width, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), "gray8", r"\(height, width\)"),
        (np.zeros((4, 4), np.uint8), "i420", "I420"),
        (np.zeros((6, 1), np.uint8), "i420", "I420"),
        (np.zeros((), np.uint8), "bgr24", "shape"),
        (np.zeros((0, 4, 3), np.uint8), "bgr24", "each side must be 1 to"),
        (np.zeros((1, 5000, 3), np.uint8), "bgr24", "each side must be 1 to"),
        (np.broadcast_to(np.uint8(0), (4096, 4096, 3)), "bgr24", "over the limit"),
        ([[1, 2], [3, 4]], "bgr24", "bytes-like"),
        (None, "bgr24", "bytes-like"),
    ],
)
def test_what_is_no_picture(picture, format, says):
    with pytest.raises((BufferError, TypeError, ValueError), match=says):
        _core.packed(picture, format)
