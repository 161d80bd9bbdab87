"""FastRTC's "Input/Output Streaming": a function with a slider."""

import cv2
import gradio as gr  # Without Gradio: import reframe as gr

from reframe import Stream


def process_frame(image, conf_threshold):
    return cv2.cvtColor(cv2.Canny(image, 0, 255 * conf_threshold), cv2.COLOR_GRAY2BGR)


def detection(image, conf_threshold=0.3):
    processed_frame = process_frame(image, conf_threshold)
    return processed_frame


stream = Stream(
    handler=detection,
    modality="video",
    mode="send-receive",
    additional_inputs=[gr.Slider(minimum=0, maximum=1, step=0.01, value=0.3)],
)

stream.ui.launch()
