"""What a supervised process has started in sessions of its own ends with it."""

from __future__ import annotations

import sys

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.process import ProcessSpec
from ops.core.protocol import Verb
from ops.core.states import State
from tests.labs.node_host import LEAVER
from tests.labs.supervised import PATIENCE, Kept


def leaver(kept: Kept, *names: str) -> ProcessSpec:
    """Make a foreign command whose children have sessions of their own."""
    folder = kept.shared.parent / "children"
    folder.mkdir()
    command = (sys.executable, str(LEAVER), str(folder), *names)
    return kept.spec(command=command, readiness="alive", stop_timeout_seconds=1.0)


def child(kept: Kept, name: str) -> Identity:
    """Return a living child of such a command."""
    path = kept.shared.parent / "children" / name
    assert Deadline(PATIENCE).poll(path.exists)
    found = Identity.of(int(path.read_text()))
    assert found is not None
    path.unlink()
    return found


def test_children_with_sessions_of_their_own_end_with_their_process_whatever_ends_it(kept: Kept) -> None:
    # Given a foreign command that ignores TERM, and its children
    spec = leaver(kept, "deaf", "stubborn", "orphan")
    kept.server.install(kept.name, [spec])
    assert kept.one(Verb.START, spec).ok
    before = [child(kept, name) for name in ("stubborn", "orphan")]
    # When its wrapper is killed, which takes the command with it, and supervisord starts another one
    first = kept.one(Verb.STATUS, spec).pid
    kept.kill(kept.program(spec).pid)
    kept.until(spec, State.RUNNING, other_than=first)
    # Then the children of the one before have ended first
    assert not any(one.alive() for one in before)
    # When that one is stopped
    after = [child(kept, name) for name in ("stubborn", "orphan")]
    report = kept.one(Verb.STOP, spec)
    # Then so have its own
    assert (report.ok, report.state) == (True, State.STOPPED)
    assert "2 processes that it had started ended too, 1 of them killed" in report.message
    assert not any(one.alive() for one in after)
