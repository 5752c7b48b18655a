"""Amounts as people read them: durations and counts, written in one way wherever a sentence has one."""

from __future__ import annotations


def in_seconds(value: float) -> str:
    """Return a duration with at most one digit behind the point: `0.3 s`, `5 s`, `90 s`."""
    text = f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"
    return f"{text[:-2] if text.endswith('.0') else text} s"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 message`, `2 messages`.

    Parameters
    ----------
    many : the noun of several; with an s unless given.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def named(error: BaseException) -> str:
    """Return an error's class and its words; the class once, where the words begin with it as kafka-python's do."""
    name, text = type(error).__name__, str(error)
    return text if name in text.partition(": ")[0] else f"{name}: {text}" if text else name
