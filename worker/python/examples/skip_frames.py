"""FastRTC's "Skipping Frames": a slow function gets the newest frame."""

import time

import numpy as np

from reframe import Stream, VideoStreamHandler


def process_image(image):
    time.sleep(0.2)  # Simulating 200ms processing time per frame; input arrives faster (30 FPS).
    return np.flip(image, axis=0)


stream = Stream(
    handler=VideoStreamHandler(process_image, skip_frames=True),
    modality="video",
    mode="send-receive",
)

stream.ui.launch()
