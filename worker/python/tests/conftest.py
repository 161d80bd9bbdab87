"""The package is that which ``scripts/python.sh test`` has put on the path."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_command(monkeypatch):
    """A test's command line is no other test's."""
    from reframe import _processes

    monkeypatch.setattr(_processes, "_command_line", None)
