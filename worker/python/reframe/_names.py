"""Names of inputs and outputs, by which the wire knows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

MAX_CHARS = 64
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# Fields of the message that sets inputs: an input of this name could not be set.
_TAKEN = frozenset(("webrtc_id", "session_token"))


def is_name(text: str) -> bool:
    """Whether the wire takes it as the name of a component."""
    return bool(_NAME.fullmatch(text)) and len(text) <= MAX_CHARS and text not in _TAKEN


def choose(parameter: str, label: str, fallback: str, taken: Container[str]) -> str:
    """A free name: the parameter's, else the label's, else ``fallback`` with a number."""
    for name in (parameter, slug(label)):
        if is_name(name) and name not in taken:
            return name
    base, number = (slug(label)[: MAX_CHARS - 3], 2) if is_name(slug(label)) else (fallback, 1)
    while f"{base}_{number}" in taken:
        number += 1
    return f"{base}_{number}"


def slug(text: str) -> str:
    """A label as a name: "Conf. threshold" is ``conf_threshold``, "Größe" is ``groe``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:MAX_CHARS].rstrip("_")


def label(name: str) -> str:
    """A name as a label: ``conf_threshold`` is "Conf threshold"."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
