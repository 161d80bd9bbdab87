"""FastRTC's "Server-to-Client Only": pictures of a generator."""

from pathlib import Path

import cv2

from reframe import Stream


def generation():
    url = str(Path(__file__).parents[2] / "assets" / "sample.mp4")
    cap = cv2.VideoCapture(url)
    iterating = True
    while iterating:
        iterating, frame = cap.read()
        yield frame


stream = Stream(handler=generation, modality="video", mode="receive")

stream.ui.launch()
