"""FastRTC's "Setting the Output Frame Rate": a generator at 60 frames a second, and a number."""

import time
from pathlib import Path

import cv2
import gradio as gr  # Without Gradio: import reframe as gr

from reframe import AdditionalOutputs, Stream, VideoStreamHandler


def generation():
    url = str(Path(__file__).parents[2] / "assets" / "sample.mp4")
    cap = cv2.VideoCapture(url)
    iterating = True

    # FPS calculation variables
    frame_count = 0
    start_time = time.time()
    fps = 0

    while iterating:
        iterating, frame = cap.read()

        # Calculate and print FPS
        frame_count += 1
        elapsed_time = time.time() - start_time
        if elapsed_time >= 1.0:  # Update FPS every second
            fps = frame_count / elapsed_time
            yield frame, AdditionalOutputs(fps)
            frame_count = 0
            start_time = time.time()
        else:
            yield frame


stream = Stream(
    handler=VideoStreamHandler(generation, fps=60),
    modality="video",
    mode="receive",
    additional_outputs=[gr.Number(label="FPS")],
    additional_outputs_handler=lambda prev, cur: cur,
)

stream.ui.launch()
