"""A model whose calls take 15 ms and half a millisecond for each picture, as a GPU's might, for
`make bench BENCH="--only batch"`: called by each session alone, behind a lock, or on batches."""

import sys
import time

import numpy as np

from reframe import Stream, VideoStreamHandler, batched


def model(images):
    time.sleep(0.015 + 0.0005 * len(images))
    return [np.flip(image, axis=0) for image in images]


infer = batched(max_batch=8)(model)
way = sys.argv[1]


def handler(image):
    return infer(image) if way == "batched" else model([image])[0]


handler = VideoStreamHandler(handler, skip_frames=True, parallel=way == "alone")
Stream(handler).ui.launch()
