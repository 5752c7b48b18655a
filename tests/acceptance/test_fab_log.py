"""`fab karafka.log` on hosts over real SSH: the last lines, and those that come."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from ops.core.deadline import Deadline
from tests.labs.shop import Shop


def listeners(folder: Path) -> list[int]:
    """Return the agents that have a log below a folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names = [os.readlink(one) for one in (process / "fd").iterdir()]  # noqa: PTH115
            agent = b"ops.node\0" in (process / "cmdline").read_bytes()
        except OSError:
            continue
        if agent and any(name.startswith(str(folder)) and name.endswith(".log") for name in names):
            found.append(int(process.name))
    return found


def test_lines_are_followed_from_all_hosts_over_rotations_until_ctrl_c(shop: Shop) -> None:
    # Given processes on two hosts, each with a line in its log, that somebody follows
    shop.fab("karafka.start")
    for host in (0, 1):
        shop.say(host, f"begin-{host}")
        assert Deadline(20).poll(lambda host=host: f"begin-{host}" in shop.log(host).read_text())
    with shop.operator("karafka.log", "--follow", "--lines", "1") as operator:

        def heard(*lines: str) -> bool:
            return bool(Deadline(30).poll(lambda: all(f"{line}\n" in operator.out for line in lines)))

        assert heard("host1 karafka-0 | begin-0", "host2 karafka-0 | begin-1"), operator.out + operator.err
        # When they write, and one log is truncated (copytruncate), the other replaced (rename)
        shop.say(0, "then-0")
        assert heard("host1 karafka-0 | then-0")
        os.truncate(shop.log(0), 0)
        shop.say(0, "truncated")
        moved = shop.log(1).with_suffix(".1")
        shutil.move(shop.log(1), moved)
        shop.log(1).write_text("replaced\n")
        # Then every line comes, from both
        assert heard("host1 karafka-0 | truncated", "host2 karafka-0 | replaced"), operator.out
        assert listeners(shop.fleet.directory)
        # When it is ended by Ctrl-C
        os.killpg(operator.process.pid, signal.SIGINT)
        # Then that is its proper end, and no agent is left
        assert operator.end() == 0
        assert operator.out.count("then-0") == 1
        assert operator.err == ""
    assert Deadline(20).poll(lambda: not listeners(shop.fleet.directory))


def test_old_lines_are_left_out(shop: Shop) -> None:
    # Given a log with lines of last year and of now, some without a time of their own
    shop.log(0).parent.mkdir(parents=True)
    shop.log(0).write_text("2020-01-01 10:00:00,000 INFO old\nits second line\n2999-01-01T10:00:00 new\nits second\n")
    # When those of the last ten minutes are asked for
    done = shop.fab("karafka.log", "--since", "10m", "--hosts", "host1")
    # Then a line without a time is as old as the one before it
    assert done.stdout == "host1 karafka-0 | 2999-01-01T10:00:00 new\nhost1 karafka-0 | its second\n"
    # And where none is left, that is said beside the output
    shop.log(0).write_text("2020-01-01 10:00:00,000 INFO old\n")
    done = shop.fab("karafka.log", "--since", "10m", "--hosts", "host1")
    assert (done.stdout, done.stderr) == ("", "test: the logs that were asked for have no lines\n")
    # And what is no time is refused before anything is asked
    assert "expected how long ago" in shop.fab("karafka.log", "--since", "yesterday", code=2).stderr
