"""The camera upside down: `python flip.py`, then http://127.0.0.1:7860."""

import numpy as np

from reframe import Stream


def flip(image):
    return np.flip(image, axis=0)


stream = Stream(flip)
stream.ui.launch()
