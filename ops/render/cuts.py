"""Where a text is cut that a narrow terminal has no room for: never at the part that tells it from its neighbours."""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Collection, Mapping
from enum import Enum

from ops.core.masking import SECRETS

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_PAIR = 2
_AS_EMOJI = "\N{VARIATION SELECTOR-16}"  # makes what stands before it wide
_JOINED = frozenset(map(chr, range(0x1160, 0x1200)))  # vowels and finals of Hangul, drawn into the syllable before
_NARROW = 2  # nothing but an ellipsis and one more character


class Keep(Enum):
    """Which part of a text stays as long as it tells the texts of a column apart."""

    BEGIN = "begin"  # of words
    END = "end"  # of releases: their dates begin alike


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_width, text))


def begin_of(text: str, width: int) -> str:
    """Return as much of a text's begin as so many columns hold."""
    if text.isascii():
        return text[: max(width, 0)]
    taken = 0
    for index, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:index]
    return text


def end_of(text: str, width: int) -> str:
    """Return as much of a text's end as so many columns hold."""
    found = begin_of(text[::-1], width)[::-1]
    if len(found) == len(text):
        return text
    start = next((at for at, character in enumerate(found) if _width(character)), len(found))
    return found[start:]  # no sign without the letter that it stands on: it would go onto what comes before


def cut(texts: Collection[str], width: int, keep: Keep) -> Mapping[str, str]:
    """Return each text that is too wide as it is cut, so that no two become one as long as that can be.

    Parameters
    ----------
    texts : of one column; all are cut in the same way.
    width : in columns of a terminal.
    """
    near = _near(texts, width)
    best: Mapping[str, str] = {}
    for way in _WAYS[keep] if near else ():
        found = way(near, width)
        if len(set(found.values())) > len(set(best.values())):
            best = found
        if len(set(best.values())) == len(near):
            break
    return {text: shown for text, shown in best.items() if width_of(text) > width}


def least(texts: Collection[str], keep: Keep) -> int:
    """Return the width from which on no two different texts are cut to the same."""
    distinct = set(texts)
    widest = max(map(width_of, distinct), default=0)

    def apart(width: int) -> bool:
        near = _near(distinct, width)
        return any(len(set(way(near, width).values())) == len(near) for way in _WAYS[keep])

    return min(bisect.bisect_left(range(widest), True, lo=2, key=apart), widest) if widest > _NARROW else widest


def _near(texts: Collection[str], width: int) -> set[str]:
    """Return what is too wide, with what is as wide as its rest: `a-1` is what `a-1…` could be taken for."""
    return {text for text in texts if width_of(text) >= width - 2}  # a wide character may not fit by one


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text that is broken between words; a word is broken where a whole line cannot hold it."""
    lines = [""]
    for word in SECRETS.hide(text).split():  # before it is broken: no line has half of one
        if lines[-1] and width_of(lines[-1]) + 1 + width_of(word) <= width:
            lines[-1] += f" {word}"
            continue
        rest = word
        while width_of(rest) > width > 1:
            lines.append(begin_of(rest, width))
            rest = rest[len(lines[-1]) :]
        lines.append(rest)
    return lines[1:] or lines


def hanging(line: str, width: int) -> list[str]:
    """Return the lines of one that is too wide: what goes on stands two characters further in."""
    if width_of(line) <= width:
        return [line]
    bare = line.lstrip(" ")
    begin = line[: min(len(line) - len(bare), width // 2)]
    first, *rest = wrapped(bare, width - len(begin) - 2)
    return [f"{begin}{first}", *(f"{begin}  {part}" for part in rest)]


def _each_word(texts: Collection[str], width: int) -> dict[str, str]:
    """Cut both words of names of two, such as a host and its process, each as what it is."""
    pairs = {text: text.split(" ") for text in texts}
    if any(len(pair) != _PAIR for pair in pairs.values()) or width <= _PAIR * _NARROW:
        return {}
    firsts, seconds = ({pair[index] for pair in pairs.values()} for index in range(_PAIR))
    room = width - 1
    share = room - max(least(firsts, Keep.BEGIN), room // 2)
    second = min(max(map(width_of, seconds), default=0), max(least(seconds, Keep.BEGIN), share), max(room - _NARROW, 0))
    ends = cut(seconds, second, Keep.BEGIN)
    begins = cut(firsts, room - second, Keep.BEGIN)
    return {text: f"{begins.get(one, one)} {ends.get(other, other)}" for text, (one, other) in pairs.items()}


def _begin(texts: Collection[str], width: int) -> dict[str, str]:
    return {text: f"{begin_of(text, width - 1)}{_ELLIPSIS}" for text in texts}


def _end(texts: Collection[str], width: int) -> dict[str, str]:
    return {text: f"{_ELLIPSIS}{end_of(text, width - 1)}" for text in texts}


def _both(texts: Collection[str], width: int) -> dict[str, str]:
    found = {}
    for text in texts:
        first = begin_of(text, (width - 1) // 2)
        found[text] = f"{first}{_ELLIPSIS}{end_of(text, width - 1 - width_of(first))}"
    return found


def _difference(texts: Collection[str], width: int) -> dict[str, str]:
    return _from(texts, width, _alike(texts))


def _differing_word(texts: Collection[str], width: int) -> dict[str, str]:
    """Keep what differs with the number or word that it is a part of."""
    alike = _alike(texts)
    text = min(texts, default="")
    while 0 < alike <= len(text) and text[alike - 1].isalnum():
        alike -= 1
    return _from(texts, width, alike)


def _from(texts: Collection[str], width: int, alike: int) -> dict[str, str]:
    return {
        text: f"{_ELLIPSIS}{begin_of(text[alike:], width - 2)}{_ELLIPSIS}"
        if width_of(text[alike:]) >= width
        else f"{_ELLIPSIS}{end_of(text, width - 1)}"
        for text in texts
    }


def _alike(texts: Collection[str]) -> int:
    """Return how many characters all texts have in common at their begin; a letter goes with the signs on it."""
    first, last = min(texts, default=""), max(texts, default="")
    alike = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    while alike and any(not _width(text[alike]) for text in texts if len(text) > alike):
        alike -= 1  # a sign differs: its letter is part of it
    return alike


_WAYS = {
    Keep.BEGIN: (_each_word, _begin, _end, _differing_word, _both, _difference),
    Keep.END: (_end, _both, _difference, _begin),
}


def _width(character: str) -> int:
    # Signs of Thai and of Indian scripts stand on a letter, too, but have no combining class.
    if (unicodedata.category(character) in ("Mn", "Me") and character != _AS_EMOJI) or character in _JOINED:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
