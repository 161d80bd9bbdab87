"""A detector run by ONNX Runtime: red, green and blue things in front of the camera.

pip install onnx onnxruntime opencv-python-headless
python make_detector.py     # writes detector.onnx, once
python detect_objects.py    # then http://127.0.0.1:7860
"""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from reframe import JSON, AdditionalOutputs, Number, Slider, Stream, VideoStreamHandler

MODEL = Path(__file__).with_name("detector.onnx")
COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
SMALLEST = 6
"""Of what is found, in the model's cells."""

if not MODEL.exists():
    raise SystemExit(f"{MODEL} is missing: run make_detector.py first")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # Its default is every core, which the video's codecs need too.
session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
[model_input] = session.get_inputs()
_, HEIGHT, WIDTH, _ = model_input.shape


def find(images, confidence):
    """What is in each of the pictures: a list of (class, score, (left, top, right, bottom)), in
    pixels of that picture. The model gets all of them at once."""
    batch = [cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for image in images]
    [scores] = session.run(None, {model_input.name: np.stack(batch)})
    return [boxes(*both, confidence) for both in zip(images, scores, strict=True)]


def boxes(image, scores, confidence):
    found = []
    for name, cells in zip(COLOURS, scores, strict=True):
        sure = (cells >= confidence).astype(np.uint8)
        _, areas, all_stats, _ = cv2.connectedComponentsWithStats(sure)
        scale = np.divide(image.shape[:2], cells.shape)[::-1]
        # The first is all the rest of the picture.
        for number, (x, y, width, height, count) in list(enumerate(all_stats))[1:]:
            if count >= SMALLEST:
                corners = np.array([(x, y), (x + width, y + height)]) * scale
                score = float(cells[areas == number].max())
                found.append((name, score, tuple(corners.round().astype(int).ravel().tolist())))
    return found


def detect(image, confidence=0.5):
    [found] = find([image], confidence)
    for name, score, (left, top, right, bottom) in found:
        cv2.rectangle(image, (left, top), (right, bottom), COLOURS[name], 2)
        at = (left, max(top - 6, 14))
        cv2.putText(image, f"{name} {score:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, COLOURS[name])
    names = Counter(name for name, *_ in found)
    return image, AdditionalOutputs(len(found), dict(names))


stream = Stream(
    VideoStreamHandler(detect, skip_frames=True),
    additional_inputs=[Slider(0.05, 0.95, value=0.5, step=0.05, label="Confidence")],
    additional_outputs=[Number(label="Objects"), JSON(label="Of each class")],
)

stream.ui.launch()
