"""The wrapper that supervisor runs: what it does with its process, and what becomes of both."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.node.wrapped import Stage, Wrapped
from tests.labs.node_host import NodeHost


class Wrapping:
    """A wrapper and its process."""

    def __init__(self, host: NodeHost, *flags: str, **options: str) -> None:
        self.spec = spec = host.spec(*flags)
        files = spec.files
        env_file = host.shared / "programs" / "karafka-0.env"
        env_file.parent.mkdir(parents=True)
        env_file.touch(0o600)
        given = {
            "--process": spec.name,
            "--directory": spec.directory,
            **{f"--{name}": getattr(files, name) for name in ("lock", "pidfile", "record", "status", "log")},
            "--env-file": str(env_file),
            "--secrets": "",
            "--readiness": "notify",
            "--start-timeout": "30",
            "--stop-timeout": "10",
        }
        given |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        words = [word for pair in given.items() for word in pair]
        argv = [sys.executable, "-I", "-m", "ops.node.wrapper", *words, "--", *spec.command]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def note(self) -> Wrapped | None:
        return Wrapped.read(Path(self.spec.files.wrapped))

    def until(self, *stages: Stage) -> Identity:
        """Wait until it is that far; gives its process."""
        assert Deadline(20).poll(lambda: (note := self.note()) is not None and note.stage in stages), self.note()
        process = self.note().process
        assert process is not None
        return process

    def end(self) -> tuple[int, str]:
        """Wait for its end; gives the exit code and what its log has."""
        said, log = self.process.communicate(timeout=30)[0], Path(self.spec.files.log)
        return self.process.returncode, said + (log.read_text() if log.exists() else "")


@pytest.fixture
def wrap(host: NodeHost) -> Iterator[Callable[..., Wrapping]]:
    made: list[Wrapping] = []

    def make(*flags: str, **options: str) -> Wrapping:
        made.append(Wrapping(host, *flags, **options))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_it_ends_with_the_code_of_its_process(wrap: Callable[..., Wrapping]) -> None:
    # Given a command that ends by itself before it is ready
    wrapping = wrap("--exit", "3")
    # Then so does the wrapper, and says what came of it
    assert wrapping.end()[0] == 3
    note = wrapping.note()
    assert note.stage is Stage.FAILED
    assert note.how.startswith("it exited with 3 after ")


def test_a_signal_is_passed_on_and_a_death_by_one_is_told(wrap: Callable[..., Wrapping]) -> None:
    # Given a process that does not handle USR1
    wrapping = wrap()
    process = wrapping.until(Stage.READY)
    # When the wrapper gets it, then the process does
    wrapping.process.send_signal(signal.SIGUSR1)
    assert wrapping.end()[0] == 128 + signal.SIGUSR1
    assert wrapping.note().stage is Stage.DIED
    assert "was ended by signal 10" in wrapping.note().how
    # And its pidfile stays, for that was a death
    assert Path(wrapping.spec.files.pidfile).exists()
    assert not process.alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_is_asked_to_end_once(wrap: Callable[..., Wrapping], number: int) -> None:
    # Given a process that drains for a moment
    wrapping = wrap("--drain-seconds", "0.3")
    wrapping.until(Stage.READY)
    # When the wrapper is told to end, twice
    wrapping.process.send_signal(number)
    wrapping.process.send_signal(number)
    # Then the process is asked once, and nothing of it is left
    code, output = wrapping.end()
    assert (code, output.count("TERM")) == (0, 1)
    assert wrapping.note().stage is Stage.STOPPED
    assert wrapping.note().how.startswith("ended after ")
    assert not Path(wrapping.spec.files.pidfile).exists()


def test_a_command_that_cannot_be_told_ready_is_so_once_it_has_lived(wrap: Callable[..., Wrapping]) -> None:
    # Given a command that never says READY=1
    wrapping = wrap("--not-ready", readiness="alive")
    wrapping.until(Stage.READY)
    # Then living is enough
    assert wrapping.note().how.startswith("alive after 1.")


def test_what_it_started_goes_with_it_however_it_ends(wrap: Callable[..., Wrapping]) -> None:
    # Given a process that ignores TERM
    wrapping = wrap("--ignore-term")
    process = wrapping.until(Stage.READY)
    # When the wrapper is killed, then so is the process
    wrapping.process.kill()
    assert Deadline(10).poll(lambda: not process.alive())


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"directory": "/nowhere"}, 1, "deploy first"),
        ({"env_file": "/nowhere/karafka-0.env"}, 1, "fab karafka.install"),
        ({"surprise": "1"}, 64, "no option: --surprise"),
        ({"start_timeout": "soon"}, 64, "could not convert"),
    ],
)
def test_what_is_in_the_way_is_told(
    wrap: Callable[..., Wrapping], options: dict[str, str], code: int, text: str
) -> None:
    # Given something that keeps the command from being started, then its output says what
    found, output = wrap(**options).end()
    assert found == code
    assert text in output
