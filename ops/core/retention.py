"""Which release a rollback goes to, and which ones a cleanup removes: pure rules over what a host has."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ops.core.release import NAME, Release, ReleaseState, is_newer


def previous_of(releases: Sequence[Release], current: str) -> str:
    """Give the good release that a rollback from `current` goes to; empty for none.

    It is the one that was recorded when `current` was published, and where that one is bad or gone by now, the one
    before it. Of a release that another tool has published nothing is recorded: then it is the next older name of one
    that was published, be it by nobody here. Never is it one of ours that never was current.
    """
    way = _way(releases, current)
    return way[-1] if way and any(one.name == way[-1] and one.good for one in releases) else ""


def _way(releases: Sequence[Release], current: str) -> list[str]:
    """Give what a rollback looks at, one after the other, up to the first good release."""
    known = {one.name: one for one in releases}
    name, way = current, list[str]()
    while name:
        own = known.get(name)
        name = own.previous if own is not None and own.published_at else _older(releases, name)
        if not name or name == current or name in way:
            break
        way.append(name)
        if name in known and known[name].good:
            break
    return way


def _older(releases: Sequence[Release], name: str) -> str:
    """Give the release that was made before; empty for none."""
    published = (one.name for one in releases if one.published_at or not one.made_at)
    return max((one for one in published if is_newer(name, one)), default="")


def superfluous(releases: Sequence[Release], current: str, keep: int, busy: Collection[str] = ()) -> tuple[str, ...]:
    """Give the releases that a cleanup removes, the oldest first.

    Kept are the newest `keep` good ones, `current`, what a rollback from it goes to or past, what processes run in, and
    for a look at it the newest bad one, where it is newer than the oldest good one that is kept. What is not whole
    goes. Folders that are not named as releases are, are nobody's to remove.
    """
    good = sorted(one.name for one in releases if one.good and NAME.fullmatch(one.name))
    kept = {*good[-keep:], current, *_way(releases, current), *busy}
    oldest = min((name for name in good if name in kept), default="")
    bad = max((one.name for one in releases if one.state is ReleaseState.BAD), default="")
    if bad > oldest:
        kept.add(bad)
    return tuple(sorted(one.name for one in releases if one.name not in kept and NAME.fullmatch(one.name)))


def unfinished(releases: Sequence[Release], current: str, busy: Collection[str] = ()) -> tuple[str, ...]:
    """Give what a deploy that was broken off has left: releases that are not whole."""
    halves = (ReleaseState.UPDATING, ReleaseState.REMOVING)
    return tuple(one.name for one in releases if one.state in halves and one.name != current and one.name not in busy)
