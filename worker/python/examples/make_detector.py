"""Makes `detector.onnx`, a small detector without a download: `pip install onnx`, then
`python make_detector.py`.

It finds saturated red, green and blue things. Its weights are worked out by hand rather than
learned, so that its answers are known; in all else it is a convolutional detector like others:

- `images`, uint8 (N, 180, 320, 3), BGR: any number N of pictures.
- `scores`, float32 (N, 3, 45, 80): how sure it is, from 0 to 1, that there is something red, green
  or blue in each cell of 4x4 pixels. A box is what encloses cells that touch each other.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

HEIGHT, WIDTH, CELL = 180, 320, 4
CLASSES = ("red", "green", "blue")

SURE = 0.35
"""The share of a class's pure colour from which the score is more than a half."""
STEEPNESS = 16.0


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    file = folder / "detector.onnx"
    file.write_bytes(detector())
    print(file)


def detector():
    """The model's bytes, which are always the same."""
    blue, green, red = np.eye(3)
    # What is needed for the larger of two colours: max(a, b) = a + relu(b - a).
    colours = [blue, green, red, blue - green, red - blue, green - red]
    # How far a class's colour is above the other two, from the six channels above.
    classes = [
        [0, -1, 1, -1, 0, 0],  # red - max(green, blue)
        [-1, 1, 0, 0, -1, 0],  # green - max(blue, red)
        [1, 0, -1, 0, 0, -1],  # blue - max(red, green)
    ]
    # A cell counts for as much as its eight neighbours do together, so that single cells are noise.
    around = np.full((3, 1, 3, 3), STEEPNESS / 16)
    around[:, :, 1, 1] = STEEPNESS / 2
    weights = {
        "colours": np.reshape(colours, (6, 3, 1, 1)) / 255,
        "classes": np.reshape(classes, (3, 6, 1, 1)),
        "around": around,
        "sure": np.full(3, -STEEPNESS * SURE),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "colours"], ["mixed"], kernel_shape=[1, 1]),
        node("Relu", ["mixed"], ["rectified"]),
        node("Conv", ["rectified", "classes"], ["pure"], kernel_shape=[1, 1]),
        node("Relu", ["pure"], ["purest"]),
        node("AveragePool", ["purest"], ["cells"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        node(
            "Conv",
            ["cells", "around", "sure"],
            ["logits"],
            kernel_shape=[3, 3],
            pads=[1] * 4,
            group=3,
        ),
        node("Sigmoid", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3, 45, 80])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    # Old versions, which every runtime knows.
    model = helper.make_model(
        graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)], producer_name="reframe"
    )
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


if __name__ == "__main__":
    main()
