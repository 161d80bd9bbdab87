"""Types for the annotations of functions over frames."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from reframe._errors import AdditionalOutputs, CloseStream

_Picture: TypeAlias = npt.NDArray[np.uint8]

VideoEmitType: TypeAlias = (
    _Picture
    | tuple[_Picture, AdditionalOutputs]
    | tuple[_Picture, CloseStream]
    | tuple[_Picture, AdditionalOutputs, CloseStream]
    | AdditionalOutputs
    | CloseStream
    | Any
)
"""What a function over frames may return, and a generator yield: ``Any`` is a PIL image or a
tensor."""
