"""A function that is a hook ends well or fails; whatever it does, it does not end the deploy in another way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import Exit

from ops.core.errors import GateRefusedError, OpsError, UsageError
from ops.core.identity import start_ticks
from ops.core.offspring import Offspring
from ops.fleet.deploy import hook_call, hooks
from ops.fleet.deploy.hook_call import call

SECONDS = 20.0


class OddError(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


def raises(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def later() -> Iterator[int]:
    yield 1


async def awaited() -> None:
    """Do nothing."""


def fails_in_a_group() -> None:
    raise BaseExceptionGroup("two", [KeyError("a"), GeneratorExit()])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (raises(SystemExit(1)), "it exited with 1"),
        (raises(SystemExit("no disk")), "it exited with no disk"),
        (raises(SystemExit(True)), "it exited with True"),
        (raises(Exit("go away", code=3)), "go away"),
        (raises(Exit(code=11)), "it exited with 11"),
        (raises(GeneratorExit()), "GeneratorExit"),
        (raises(BaseException("base")), "base"),
        (raises(asyncio.CancelledError()), "CancelledError"),
        (raises(OddError()), "OddError"),
        (raises(StopIteration()), "StopIteration"),
        (fails_in_a_group, "two"),
        (lambda: os._exit(0), "os._exit"),
        (lambda: os.abort(), "os.abort"),
        (lambda: os.execv("/bin/true", ["true"]), "os.execv"),
        (lambda: os.execlp("true", "true"), "os.execv"),
        (lambda: os.execvpe("true", ["true"], {"PATH": "/bin"}), "os.execve"),
        (later, "it returned a generator, of which nothing has run"),
        (awaited, "it returned a coroutine, of which nothing has run"),
        (lambda: (one for one in (1, 2)), "it returned a generator, of which nothing has run"),
    ],
)
def test_whatever_it_raises_calls_or_returns_is_a_hook_that_failed(body: Callable[[], Any], words: str) -> None:
    # When a function does not end well, then it failed, and its words are said
    with pytest.raises(OpsError) as failed:
        call("moody", body, SECONDS, Offspring())
    assert words in str(failed.value)
    assert failed.value.exit_code == 1
    # And everything that it was kept from is there again
    assert os._exit.__module__ == "posix"


@pytest.mark.parametrize("body", [lambda: None, lambda: 7, raises(SystemExit(0)), raises(SystemExit(None)), dict])
def test_one_that_ends_well_does_so_also_by_sys_exit(body: Callable[[], Any]) -> None:
    call("happy", body, SECONDS, Offspring())


@pytest.mark.parametrize("error", [GateRefusedError("no"), KeyboardInterrupt()])
def test_our_own_errors_and_ctrl_c_are_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)):
        call("moody", raises(error), SECONDS, Offspring())


def test_a_child_that_it_forks_and_does_not_end_never_gets_to_the_deploy() -> None:
    # Given a function that forks and returns, or raises, in both
    pids: list[int] = []

    def returns() -> None:
        pids.append(os.fork())

    def fails() -> None:
        pids.append(os.fork())
        raise RuntimeError("in both")

    # When it is called
    call("doubled", returns, SECONDS, Offspring())
    with pytest.raises(OpsError, match="in both"):
        call("doubled", fails, SECONDS, Offspring())
    # Then this process alone goes on, and the children have ended as their functions did
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 1]


def test_its_children_end_as_they_want_to() -> None:
    # Given a function whose child ends by os._exit, as multiprocessing's do
    def forks() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3

    call("forking", forks, SECONDS, Offspring())


def test_the_working_directory_is_as_before(tmp_path: Path) -> None:
    # Given a function that goes elsewhere
    before = Path.cwd()
    call("wandering", lambda: os.chdir(tmp_path), SECONDS, Offspring())
    # Then paths of the command line begin where they did
    assert Path.cwd() == before


def test_one_that_takes_too_long_is_ended_with_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_call, "_GRACE_SECONDS", 0.5)
    # Given a function that goes on after any exception, and waits for a child that ignores TERM
    offspring, noted = Offspring(), tmp_path / "pid"
    child = f"trap '' TERM; echo $$ > {noted}; while :; do sleep 0.05; done"

    started: list[subprocess.Popen[bytes]] = []

    def body() -> None:
        started.append(subprocess.Popen(["sh", "-c", child], env={**os.environ, **offspring.variables}))
        while True:
            with suppress(Exception):
                started[0].wait()

    # When its time is over
    began = time.monotonic()
    with pytest.raises(OpsError, match=r"the hook slow had not ended after 1 s") as failed:
        call("slow", body, 1.0, offspring)
    # Then it ends with its child, and which setting that is is said
    assert start_ticks(int(noted.read_text())) is None
    assert started[0].wait(10) == -signal.SIGKILL
    assert "hook_timeout_seconds" in failed.value.hint
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("body", [later, awaited])
def test_a_function_of_which_a_call_would_run_nothing_is_refused_where_it_is_registered(body: Any) -> None:
    # When a generator or an async function is to be a hook, then the fabfile is refused
    with pytest.raises(UsageError, match="nothing of it would run"):
        hooks.before("deploy:updated")(body)
    assert body not in [one.body for one in hooks.functions()]
