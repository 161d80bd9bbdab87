"""A stream's declaration, as the compiled half takes it; and what is wrong with it, as far as that
half could not say it in words of the program's."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from reframe import _texts
from reframe._handlers import VideoStreamHandler

_logger = logging.getLogger("reframe")

_MODES = ("send-receive", "receive", "send")
_FORMATS = ("bgr24", "rgb24", "gray8", "i420")


def declaration(
    *,
    name: str,
    mode: str,
    settings: VideoStreamHandler,
    concurrency_limit: Any,
    time_limit: Any,
    movable: Any,
    broadcast: Any,
    bitrate: Any,
    start_bitrate: Any,
    ui_args: Any,
) -> dict[str, Any]:
    """All of it but the components.

    Raises ValueError for a value that cannot be, naming it.
    """
    _one_of("mode", mode, _MODES)
    _one_of("pixel_format", settings.pixel_format, _FORMATS)
    return {
        "name": name,
        **_titles(ui_args),
        "mode": mode,
        "fps": _positive("fps", settings.fps),
        "skip_frames": bool(settings.skip_frames),
        "keep_rotation": bool(settings.as_sent),
        "pixel_format": settings.pixel_format,
        "serialized": not settings.parallel,
        "call_limit_s": (
            None if settings.call_limit is None else _positive("call_limit", settings.call_limit)
        ),
        "concurrency_limit": _limit(concurrency_limit),
        "time_limit_s": None if time_limit is None else _positive("time_limit", time_limit),
        "movable": bool(movable),
        "broadcast": bool(broadcast),
        "bitrate_kbps": None if bitrate is None else _range(bitrate),
        "start_bitrate_kbps": None if start_bitrate is None else _kbps(start_bitrate),
    }


def listed(components: Any, where: str) -> Sequence[Any]:
    """A list of components; raises TypeError for anything else, a single one for example."""
    if components is None:
        return ()
    if not isinstance(components, list | tuple):
        raise TypeError(f"{where} is {_texts.type_name(components)}: give a list, [component]")
    return components


def _one_of(what: str, value: Any, values: tuple[str, ...]) -> None:
    if value not in values:
        raise ValueError(f"{what}={_texts.short(value)} is none of {', '.join(values)}")


def _range(bitrate: Any) -> list[int]:
    if not isinstance(bitrate, list | tuple) or len(bitrate) != 2:
        raise ValueError(f"bitrate={_texts.short(bitrate)} is not (lowest, highest) in kbit/s")
    return [_kbps(rate) for rate in bitrate]


def _titles(ui_args: Any) -> dict[str, str]:
    args = dict(ui_args or {})
    ignored = sorted(args.keys() - {"title", "subtitle", "hide_title"})
    if ignored:
        _logger.debug("ui_args: %s mean nothing here", ", ".join(map(str, ignored)))
    if args.get("hide_title"):
        return {"title": "", "subtitle": ""}
    title, subtitle = args.get("title"), args.get("subtitle")
    return {
        "title": "Reframe" if title is None else _texts.clean(str(title)),
        "subtitle": "" if subtitle is None else _texts.clean(str(subtitle)),
    }


def _positive(what: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{what}={_texts.short(value)} is not a number above 0")
    return number


def _limit(limit: Any) -> int | None:
    if limit is None or limit == "default":
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(
            f"concurrency_limit={_texts.short(limit)} is no number of sessions from 1 on"
        )
    return limit


def _kbps(rate: Any) -> int:
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 <= rate < math.inf:
        raise ValueError(f"a bitrate of {_texts.short(rate)} is not a number of kbit/s")
    return int(rate)
