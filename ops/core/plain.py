"""Text that somebody else wrote, fit to be shown: nothing in it steers a terminal or looks like a line of ours."""

from __future__ import annotations

from ops.core.masking import SECRETS

_INSTEAD = "\N{REPLACEMENT CHARACTER}"
_KEPT = "\n\t"


def plain(text: str) -> str:
    """Give a text without what steers a terminal: controls, escapes, marks that turn the direction, lone surrogates.

    Line breaks and tabs stay. So do blanks of any width.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(one if one in _KEPT or _is_shown(one) else _INSTEAD for one in text)


def shown(text: str) -> str:
    """Give a text as it may be shown: without secrets, and plain."""
    return plain(SECRETS.hide(text))


def cell(text: str) -> str:
    """Give a text as a part of one line: as `shown`, and line breaks and tabs as blanks."""
    hidden = SECRETS.hide(text)
    return plain(hidden if hidden.isprintable() else " ".join(hidden.splitlines()).replace("\t", " "))


def lines_of(text: str) -> list[str]:
    """Give the lines of a text as they may be shown, all but the first indented: none looks like a line of ours."""
    first, *rest = shown(text).split("\n")
    rest = rest[:-1] if rest and not rest[-1] else rest
    return [first, *(line if line.startswith("  ") else f"  {line}" for line in rest)]


def _is_shown(character: str) -> bool:
    if character.isprintable():
        return True
    import unicodedata

    return unicodedata.category(character) == "Zs"
