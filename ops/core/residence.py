"""Whose a deploy_to is, in words: what is wrong where two hosts share one, and what lifts it."""

from __future__ import annotations


def what_is_shared(folder: str, other: str, host: str) -> str:
    """Say why a host must not work in a folder that is another one's."""
    return (
        f"{folder} is the one of host {other}, not of {host}: two hosts cannot share one (a network file system, or "
        "one machine under two names): releases, locks and processes would be each other's"
    )


def way_out(other: str, host: str) -> str:
    """Say what to do about it."""
    return f"give {host} a deploy_to of its own; where {other} is what it was called before: fab karafka.setup"
