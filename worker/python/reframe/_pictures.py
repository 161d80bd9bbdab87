"""From what a function returns as its picture to an array that can be encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reframe import _texts

MAX_SIDE = 4096
"""The longest side of a picture, in pixels."""

Picture = tuple[npt.NDArray[np.uint8], str]
"""An array of uint8, 2-D or 3-D, with any strides, and its pixel format."""


def picture(returned: Any, wanted: str, name: str) -> Picture:
    """Checks a picture that the function ``name`` of a stream in the format ``wanted`` returned.

    A shape says more than the stream's format: two dimensions are grey, and colours in a stream of
    grey or I420 pictures are BGR. Four channels are taken without the last. PIL images are RGB
    whatever the stream's format is.

    Raises TypeError or ValueError, whose message says what to return.
    """
    array, colours = _array(returned, name)
    if array.dtype != np.uint8:
        array = _from_bool(array, name)
    if not array.size:
        raise ValueError(f"{name} returned an empty picture, of shape {array.shape}")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        gray = array if array.ndim == 2 else array[..., 0]
        if wanted == "i420" and _is_i420(gray):
            return _sized(gray, gray.shape[0] * 2 // 3, name), "i420"
        return _sized(gray, gray.shape[0], name), "gray8"
    if array.ndim == 3 and array.shape[2] in (3, 4):
        colours = colours or (wanted if wanted in ("bgr24", "rgb24") else "bgr24")
        return _sized(array, array.shape[0], name), colours
    raise ValueError(_misshapen(array, name))


def _array(returned: Any, name: str) -> tuple[npt.NDArray[Any], str | None]:
    """The array, and its order of colours where its type says that."""
    if isinstance(returned, np.ndarray):
        return returned, None
    if _is_pil(returned):
        return _from_pil(returned), "rgb24"
    if hasattr(returned, "detach") and hasattr(returned, "cpu"):
        return _from_torch(returned, name), None
    if hasattr(returned, "__array__") and hasattr(returned, "shape"):
        return np.asarray(returned), None
    raise TypeError(_no_picture(returned, name))


def _is_pil(returned: Any) -> bool:
    return all(hasattr(returned, name) for name in ("mode", "size", "convert", "getbands"))


def _from_pil(image: Any) -> npt.NDArray[Any]:
    if image.mode not in ("RGB", "L"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image)


def _from_torch(tensor: Any, name: str) -> npt.NDArray[Any]:
    dtype = str(tensor.dtype)
    if dtype not in ("torch.uint8", "torch.bool"):
        cure = "(x * 255).clamp(0, 255).to(torch.uint8)"
        raise TypeError(_wrong_dtype(name, "a tensor", dtype, dtype.startswith("torch.int"), cure))
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def _from_bool(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if array.dtype == np.bool_:
        return array.view(np.uint8) * np.uint8(255)
    cure = '(x * 255).clip(0, 255).astype("uint8")'
    whole = np.issubdtype(array.dtype, np.integer)
    raise TypeError(_wrong_dtype(name, "an array", str(array.dtype), whole, cure))


def _wrong_dtype(name: str, what: str, dtype: str, whole: bool, cure: str) -> str:
    # Whether floats are 0 to 1 or 0 to 255 is not guessed: either guess makes some pictures black.
    if whole:
        cure = cure.replace("(x * 255)", "x")
        return f"{name} returned {what} of {dtype}, but a picture is uint8: return {cure}"
    if "float" in dtype:
        return (
            f"{name} returned {what} of {dtype}, but a picture is uint8: return {cure} if it is 0 "
            f"to 1, {cure.replace('(x * 255)', 'x')} if it is 0 to 255"
        )
    return f"{name} returned {what} of {dtype}, but a picture is uint8, 0 to 255"


def _is_i420(array: npt.NDArray[Any]) -> bool:
    return bool(array.shape[0] % 3 == 0 and array.shape[1] % 2 == 0)


def _sized(array: npt.NDArray[Any], height: int, name: str) -> npt.NDArray[np.uint8]:
    width = array.shape[1]
    if width > MAX_SIDE or height > MAX_SIDE:
        raise ValueError(
            f"{name} returned a picture of {width}x{height}: each side may have {MAX_SIDE} pixels "
            "at most, make it smaller"
        )
    return array


def _misshapen(array: npt.NDArray[Any], name: str) -> str:
    shape = array.shape
    problem = f"{name} returned an array of shape {shape}, but a picture is (height, width, 3)"
    if array.ndim == 3 and shape[0] in (1, 3, 4):
        return f"{problem}: its colours come first, return x.transpose(1, 2, 0) (torch: permute)"
    if array.ndim == 4 and shape[0] == 1:
        return f"{problem}: return x[0]"
    if array.ndim == 4:
        return f"{problem}: it is {shape[0]} pictures, return one of them"
    return f"{problem} or (height, width)"


def _no_picture(returned: Any, name: str) -> str:
    problem = f"{name} returned {_texts.type_name(returned)}, which is no picture"
    if returned is None:
        return (
            f"{name} returned None, which is no picture: is a `return image` missing? For none at "
            "all there is mode='send'"
        )
    if isinstance(returned, list):
        return (
            f'{problem}: return np.asarray(x, dtype="uint8") if it is one picture, and a tuple, '
            "(image, AdditionalOutputs(…)), for more than a picture"
        )
    if hasattr(returned, "send") or hasattr(returned, "__anext__"):
        return f"{problem}: a generator is for mode='receive'; return the picture instead"
    if type(returned).__name__ == "UMat":
        return f"{problem}: return x.get()"
    if isinstance(returned, type):
        made = returned.__name__
        return f"{name} returned the class {made}: return an object, {made}(…)"
    return f"{problem}: return a numpy array of uint8 and the shape (height, width, 3)"
