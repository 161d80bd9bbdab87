"""A blurred background, by OpenCV alone: what moves stays sharp.

    pip install opencv-python-headless
    python blur_background.py   # then http://127.0.0.1:7860

A person who sits still for half a minute becomes background. For people there are better models
(MediaPipe, RVM): put one in the place of `self.background`.
"""

import cv2

from reframe import Handler, Slider, Stream, VideoStreamHandler

SHRUNK = 4
"""The background is learned and blurred in a picture so many times smaller: it shows no detail."""


class BlurBackground(Handler):
    """Of each session: each camera has a background of its own."""

    def start_up(self):
        self.background = cv2.createBackgroundSubtractorMOG2(history=900, detectShadows=False)
        self.around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def process(self, image, strength=8):
        height, width = image.shape[:2]
        size = max(1, width // SHRUNK), max(1, height // SHRUNK)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        moving = self.background.apply(small)
        # Without specks, then without holes.
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, self.around)
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, self.around, iterations=3)
        blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), strength), (width, height))
        mask = cv2.resize(moving, (width, height), interpolation=cv2.INTER_NEAREST)
        return cv2.copyTo(image, mask, blurred)


stream = Stream(
    VideoStreamHandler(BlurBackground, skip_frames=True),
    additional_inputs=[Slider(1, 20, value=8, step=1, label="Strength")],
)

stream.ui.launch()
