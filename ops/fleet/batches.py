"""How many hosts each batch of a rolling restart has."""

from __future__ import annotations

from collections.abc import Sequence


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
