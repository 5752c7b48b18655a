"""The excerpt of a terminal that stands in the README."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.pictures import excerpt


def restart(hosts: int, partitions: int) -> str:
    """Return what a restart of so many hosts prints, with what is run after it."""
    lines = ["$ fab karafka.restart", "preflight passed: sources"]
    for host in range(hosts):
        for process in ("karafka-0", "karafka-1"):
            lines += [f"host{host} {process}: {word}" for word in ("spawned", "standby", "handing over", "ready")]
        lines += [f"the gate after batch {host + 1} passed after 0.5 s"]
    lines += ["HOST PROCESS", *(f"host{host} karafka-0 running" for host in range(hosts))]
    lines += ["", "longest stall 0.1 s", *(f"figure {number}" for number in range(5)), "", "SLOT BATCH"]
    lines += [f"host{host} karafka-0 warm" for host in range(hosts)]
    lines += ["", "PARTITION GROUP", *(f"topic-{number} sources" for number in range(partitions))]
    lines += ["", "kept as X", "picture: fab karafka.history", "", "", "$ verify", "lost 0"]
    return "\n".join(lines)


@given(hosts=st.integers(1, 30), partitions=st.integers(0, 30))
def test_an_excerpt_says_of_every_line_that_it_is_left_out(hosts: int, partitions: int) -> None:
    # Given what a restart printed
    shown = restart(hosts, partitions)
    # When the excerpt is made
    kept = [line for line in excerpt(shown).split("\n") if line]
    # Then kept lines and left out ones are all there were
    notes = [int(found[1]) for line in kept if (found := re.search(r"\[\.\.\. (\d+) more lines\]", line))]
    assert sum(notes) + len(kept) - len(notes) == len([line for line in shown.split("\n") if line])
    # And what a reader looks for is kept, on one screen
    assert len(excerpt(shown).split("\n")) <= 25
    for wanted in ("host0 karafka-0: ready", "the gate after batch 1", "longest", "SLOT", "$ verify", "lost 0"):
        assert any(line.startswith(wanted) for line in kept)
    assert not any(line.startswith(("the gate after batch 2", "topic-", "PARTITION")) for line in kept)
