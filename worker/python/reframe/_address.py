"""Where the page is served: ``server_name`` and ``server_port`` as Gradio has them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

DEFAULT_PORT = 7860
PORTS = 100
"""Without a port, the first free one of so many from the default is taken, as with Gradio: several
programs can be tried side by side."""


@dataclass(frozen=True)
class Address:
    """An IP address and a port."""

    ip: str
    port: int

    def option(self) -> str:
        """As ``--http`` takes it."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def url(self, scheme: str) -> str:
        """The page's address on this machine."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ip, self.ip)
        return f"{scheme}://{Address(here, self.port).option()}/"

    def connectable(self) -> tuple[str, int]:
        """Where a client on this machine connects to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ip, self.ip), self.port


def given(name: str | None, port: int | None) -> Address:
    """Where ``launch(server_name, server_port)`` listens: ``REFRAME_HTTP`` says it for a program
    that does not. Raises as :func:`address`."""
    variable = os.environ.get("REFRAME_HTTP", "")
    ip, _, digits = variable.rpartition(":")
    if name is None and port is None and ip and digits.isdecimal():
        return address(ip, int(digits))
    return address(name, port)


def address(name: str | None, port: int | None) -> Address:
    """The address to listen at.

    Raises ValueError for a name that is not this machine's, OSError when no port is free.
    """
    name = name or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    ip = _ip(name)
    given = port if port is not None else os.environ.get("GRADIO_SERVER_PORT")
    if given is not None and int(given) != 0:
        return Address(ip, int(given))
    if given is not None:
        return Address(ip, _free(ip, 0))
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS):
        if is_free(ip, candidate):
            return Address(ip, candidate)
    last = DEFAULT_PORT + PORTS - 1
    raise OSError(f"no port from {DEFAULT_PORT} to {last} is free: launch(server_port=…)")


def is_free(ip: str, port: int) -> bool:
    """Whether this process could listen there now."""
    try:
        return bool(_free(ip, port))
    except OSError:
        return False


def _free(ip: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # As the server itself: ports whose connections have just been closed are free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
        listener.listen()
        return int(listener.getsockname()[1])


def _ip(name: str) -> str:
    name = name.strip().removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(
            f"server_name={name!r} is no address of this machine ({error}): give 127.0.0.1, or "
            "0.0.0.0 for every address"
        ) from error
    # "localhost" is 127.0.0.1 for whoever types it, whatever comes first here.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])
