"""From what a function returns beside its picture to what JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reframe import _texts

MAX_DEPTH = 32
"""Arrays and objects within each other. The parser at the other end has a limit too."""


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """The value as None, bool, int, float, str, list and dict of str.

    Arrays, tensors and numpy's numbers become lists and numbers, and keys become texts. ``where``
    names the output in messages.

    Raises ValueError for NaN, for infinities and for integers that a float does not hold;
    TypeError for what has no such form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _texts.clean(value)
    if isinstance(value, int):
        return _whole(int(value), where)
    if isinstance(value, float):
        return _finite(float(value), where)
    if depth >= MAX_DEPTH:
        raise ValueError(
            f"{where}: its value is nested deeper than {MAX_DEPTH}, or contains itself"
        )
    if isinstance(value, Mapping):
        return {_key(key): plain(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, where, depth + 1) for item in value]
    # numpy's numbers and arrays, and tensors.
    if callable(getattr(value, "tolist", None)) and not isinstance(value, type):
        return plain(value.tolist(), where, depth + 1)
    raise TypeError(
        f"{where}: {_texts.type_name(value)} has no form in JSON: return numbers, texts, lists and "
        f"dicts of them{', like sorted(x)' if isinstance(value, set | frozenset) else ''}"
    )


def _key(key: Any) -> str:
    return _texts.clean(key if isinstance(key, str) else str(key))


def _whole(value: int, where: str) -> int:
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{where}: the number is too large") from None
    return value


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise ValueError(
            f"{where}: its value is {value}, which JSON does not have: return None, or a number"
        )
    return value
