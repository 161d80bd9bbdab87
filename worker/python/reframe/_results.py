"""The forms of what a function returns: a picture, values beside it, the end of the stream."""

from __future__ import annotations

from typing import Any

from reframe import _texts
from reframe._errors import AdditionalOutputs, CloseStream

Parts = tuple[Any, AdditionalOutputs | None, CloseStream | None]


def split(returned: Any, name: str) -> tuple[bool, Parts]:
    """Whether there is a picture to look at, and the parts.

    ``AdditionalOutputs`` or ``CloseStream`` alone have none, and so has a tuple whose first part is
    None. Else the picture is whatever is not one of these two.

    Raises ValueError for a tuple of another form than (picture, AdditionalOutputs), (picture,
    CloseStream) and (picture, AdditionalOutputs, CloseStream), each also without the picture.
    """
    if isinstance(returned, AdditionalOutputs):
        return False, (None, returned, None)
    if isinstance(returned, CloseStream):
        return False, (None, None, returned)
    if not isinstance(returned, tuple):
        return True, (returned, None, None)

    rest = list(returned)
    close = rest.pop() if rest and isinstance(rest[-1], CloseStream) else None
    outputs = rest.pop() if rest and isinstance(rest[-1], AdditionalOutputs) else None
    if len(rest) > 1 or (close is None and outputs is None):
        raise ValueError(_misformed(returned, name))
    picture = rest[0] if rest else None
    if isinstance(picture, AdditionalOutputs | CloseStream):
        raise ValueError(_misformed(returned, name))
    return picture is not None, (picture, outputs, close)


def _misformed(returned: tuple[Any, ...], name: str) -> str:
    if type(returned) is tuple and len(returned) == 1:
        return (
            f"{name} returned a tuple of one, ({_texts.type_name(returned[0])},): is there a comma "
            "too many after `return image`?"
        )
    types = ", ".join(map(_texts.type_name, returned[:4])) + (", …" if len(returned) > 4 else "")
    return (
        f"{name} returned a tuple ({types}): after the picture come AdditionalOutputs, CloseStream "
        "or both, as in `return image, AdditionalOutputs(count)`"
    )
