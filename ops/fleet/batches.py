"""How many hosts each batch of a rolling restart has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from ops.core.settings import Settings

T = TypeVar("T")


def in_batches(settings: Settings, hosts: Sequence[T], *, rolling: bool) -> tuple[tuple[T, ...], ...]:
    """Return what is to be done on each host in the batches that the settings want; nothing to do is no batch.

    Parameters
    ----------
    rolling : batch after batch; else all at once.
    """
    rollout = settings.rollout
    sizes = batch_sizes(rollout.batch, rollout.canary, len(hosts)) if rolling else (len(hosts),)
    return tuple(_divided(hosts, sizes)) if hosts else ()


def batch_sizes(batch: int | str | Sequence[int | str], canary: int, hosts: int) -> tuple[int, ...]:
    """Divide hosts into batches.

    Parameters
    ----------
    batch : the setting `rollout.batch`: a number, a percentage of `hosts`, or a list of them whose last one repeats. A
        percentage is rounded down, to one host at least.
    canary : hosts that the first batch has at most; 0 for no such limit.
    hosts : that are selected.
    """
    wanted = [batch] if isinstance(batch, (int, str)) else list(batch)
    sizes = [_size(one, hosts) for one in wanted]
    if canary and sizes[0] > canary:
        sizes.insert(0, canary)
    found: list[int] = []
    left = hosts
    while left:
        size = min(left, sizes[min(len(found), len(sizes) - 1)])
        found.append(size)
        left -= size
    return tuple(found)


def _size(one: int | str, hosts: int) -> int:
    text = str(one)  # the environment gives a number as text
    return max(1, hosts * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def _divided(hosts: Sequence[T], sizes: Sequence[int]) -> Iterator[tuple[T, ...]]:
    begin = 0
    for size in sizes:
        yield tuple(hosts[begin : begin + size])
        begin += size
