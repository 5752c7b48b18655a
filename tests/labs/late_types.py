"""The messages' annotations, readable: what `ops.core.protocol` imports late is put where annotations look for it."""

from __future__ import annotations

from importlib import import_module

from ops.core import protocol


def make_readable() -> None:
    """Import every type that a request or a response may carry, and name it in the protocol's module."""
    for kind in (*protocol.CALLS.values(), *protocol.ANSWERS.values()):
        module, _, name = kind.partition(".")
        vars(protocol)[name] = getattr(import_module(f"ops.core.{module}"), name)
