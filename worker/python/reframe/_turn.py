"""Credentials of TURN services, by FastRTC's functions: what they return is an
``rtc_configuration``.

They are good for ``ttl`` seconds from the call on, so give ``Stream`` the function's result only
where the program is started again before that. A TURN server of your own needs no such call:
``--ice-servers`` and ``--turn-secret-file``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Literal

from reframe import _texts

FASTRTC_URL = "https://turn.fastrtc.org/credentials"
CLOUDFLARE_URL = "https://rtc.live.cloudflare.com/v1/turn/keys/{}/credentials/generate-ice-servers"
TWILIO_URL = "https://api.twilio.com/2010-04-01/Accounts/{}/Tokens.json"

TIMEOUT_SECONDS = 10.0
MAX_BYTES = 64 * 1024

Configuration = dict[str, Any]


def get_turn_credentials(
    method: Literal["hf", "twilio", "cloudflare"] = "cloudflare", **kwargs: Any
) -> Configuration:
    """Those of the service ``method``, whose function gets ``kwargs``."""
    functions: dict[str, Callable[..., Configuration]] = {
        "hf": get_hf_turn_credentials,
        "twilio": get_twilio_turn_credentials,
        "cloudflare": get_cloudflare_turn_credentials,
    }
    if method not in functions:
        raise ValueError(f"method={method!r} is none of {', '.join(functions)}")
    return functions[method](**kwargs)


def get_hf_turn_credentials(token: str | None = None, ttl: int = 600) -> Configuration:
    """For a token of Hugging Face, by default ``HF_TOKEN``, from FastRTC's service."""
    token = _needed("token", token, "HF_TOKEN")
    return _fetched(f"{FASTRTC_URL}?ttl={int(ttl)}", f"Bearer {token}")


def get_cloudflare_turn_credentials(
    turn_key_id: str | None = None,
    turn_key_api_token: str | None = None,
    hf_token: str | None = None,
    ttl: int = 600,
) -> Configuration:
    """For a TURN key of Cloudflare, by default ``CLOUDFLARE_TURN_KEY_ID`` and
    ``CLOUDFLARE_TURN_KEY_API_TOKEN``; or for a token of Hugging Face, by default ``HF_TOKEN``,
    which comes first as with FastRTC."""
    hf_token = hf_token or os.environ.get("HF_TOKEN", "").strip()
    if hf_token:
        return get_hf_turn_credentials(hf_token, ttl)
    key = _needed("turn_key_id", turn_key_id, "CLOUDFLARE_TURN_KEY_ID")
    token = _needed("turn_key_api_token", turn_key_api_token, "CLOUDFLARE_TURN_KEY_API_TOKEN")
    body = json.dumps({"ttl": int(ttl)}).encode()
    return _fetched(CLOUDFLARE_URL.format(key), f"Bearer {token}", body)


def get_twilio_turn_credentials(
    twilio_sid: str | None = None, twilio_token: str | None = None
) -> Configuration:
    """For an account of Twilio, by default ``TWILIO_ACCOUNT_SID`` and ``TWILIO_AUTH_TOKEN``. The
    package ``twilio`` is not needed."""
    sid = _needed("twilio_sid", twilio_sid, "TWILIO_ACCOUNT_SID")
    token = _needed("twilio_token", twilio_token, "TWILIO_AUTH_TOKEN")
    basic = base64.b64encode(f"{sid}:{token}".encode()).decode()
    made = _fetched(TWILIO_URL.format(sid), f"Basic {basic}", b"")
    return {"iceServers": made.get("ice_servers"), "iceTransportPolicy": "relay"}


async def get_turn_credentials_async(
    method: Literal["hf", "twilio", "cloudflare"] = "cloudflare", **kwargs: Any
) -> Configuration:
    """As :func:`get_turn_credentials`, for coroutines. ``client`` is ignored."""
    kwargs.pop("client", None)
    return await asyncio.to_thread(get_turn_credentials, method, **kwargs)


async def get_hf_turn_credentials_async(
    token: str | None = None, ttl: int = 600, client: Any = None
) -> Configuration:
    """As :func:`get_hf_turn_credentials`, for coroutines. ``client`` is ignored."""
    return await asyncio.to_thread(get_hf_turn_credentials, token, ttl)


async def get_cloudflare_turn_credentials_async(
    turn_key_id: str | None = None,
    turn_key_api_token: str | None = None,
    hf_token: str | None = None,
    ttl: int = 600,
    client: Any = None,
) -> Configuration:
    """As :func:`get_cloudflare_turn_credentials`, for coroutines. ``client`` is ignored."""
    arguments = (turn_key_id, turn_key_api_token, hf_token, ttl)
    return await asyncio.to_thread(get_cloudflare_turn_credentials, *arguments)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another host must not get the secret, which urllib would send along."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def _needed(argument: str, given: str | None, variable: str) -> str:
    value = given or os.environ.get(variable, "").strip()
    if not value:
        raise ValueError(f"no TURN credentials without {argument}, or the variable {variable}")
    return value


def _fetched(url: str, authorization: str, body: bytes | None = None) -> Configuration:
    """The answer of a service.

    Raises RuntimeError when there is none, or another than JSON; it never contains the secret.
    """
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    host = url.split("/")[2]
    try:
        request = urllib.request.Request(url, body, headers)
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            answer = json.loads(response.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            why = _texts.clean(error.read(200).decode("utf-8", "replace"))
        raise RuntimeError(f"no TURN credentials from {host}: {error.code} {why}") from None
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no TURN credentials from {host}: {_texts.of_error(error)}") from error
    if not isinstance(answer, dict):
        raise RuntimeError(f"no TURN credentials from {host}: it answers {_texts.short(answer)}")
    return answer
