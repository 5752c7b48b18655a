"""supervisord ends, in whatever way: what it kept ends with it, and comes back with it."""

from __future__ import annotations

import signal
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import Verb
from ops.core.states import State
from ops.node.wrapped import Stage, Wrapped
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.supervised import MakeKept


def test_a_killed_supervisord_leaves_nothing_behind(kept_of: MakeKept, tmp_path: Path) -> None:
    # Given a process under a supervisord of its own
    with LocalSupervisord(tmp_path / "own") as server:
        kept = kept_of("app", server)
        spec = kept.installed()
        first = kept.one(Verb.START, spec)
        process = Identity.of(first.pid)
        # When supervisord is killed
        kept.kill(server.identity.pid)
        # Then the process is asked to end as by a stop, and status knows no more than that
        assert Deadline(20).poll(lambda: not process.alive()), kept.log(spec)
        assert Deadline(20).poll(lambda: Wrapped.read(Path(spec.files.wrapped)).stage is Stage.STOPPED)
        lost = kept.one(Verb.STATUS, spec)
        assert lost.state is State.UNKNOWN
        assert "does supervisord run?" in lost.message
        # And a start says what is in the way, once supervisord is there again it works
        assert not kept.one(Verb.START, spec).ok
        server.start()
        again = kept.one(Verb.START, spec)
        assert (again.ok, again.state) == (True, State.RUNNING)
        # And an orderly end is one, too
        server.identity.send(signal.SIGTERM)
        gone = Identity.of(again.pid)
        assert gone is None or Deadline(20).poll(lambda: not gone.alive())
