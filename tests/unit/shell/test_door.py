"""What a task prints may go nowhere: it does its work to the end, and ends with the exit code of its work."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.labs import in_process

INV = Path(sys.executable).parent / "inv"
ENVIRON = {name: value for name, value in os.environ.items() if name not in ("GITHUB_ACTIONS", "GITLAB_CI")}
TASKS = """
import sys
import threading
from pathlib import Path

from ops.core.errors import GateRefusedError
from ops.core.guarded import issue
from ops.core.protocol import Event
from ops.core.telling import HostFact, Output, Result, Said, Table, HostRelease, Uploaded
from ops.render.ci import narrated
from ops.render.deployment import ConsoleNarrator, JSONNarrator
from ops.render.progress import Progress
from ops.shell.door import command

ODD = "\\u2713 \\udcff"

@command()
def change(context, fails=False, json=False):
    "Print in all the ways there are, then work."
    narrator = narrated(JSONNarrator(sys.stdout) if json else ConsoleNarrator(sys.stderr, sys.stdout), sys.stderr,
                        sections=True)
    print(ODD)
    for number in range(80):
        print("a line", ODD, number, flush=number % 2 == 0)
        sys.stderr.write("another line\\n")
        Progress(sys.stderr).event("host1", Event("karafka-0", "ready", ODD))
        issue(sys.stderr, "an order")
        narrator.tell(Said(ODD, failed=number % 2 == 0))
        narrator.tell(Output("build", ODD, "host1"))
        narrator.tell(Table((HostRelease("host1", ODD),)))
    uploads = [threading.Thread(target=narrator.tell, args=(Uploaded(f"host{one}", 5, 9),)) for one in range(8)]
    for one in uploads:
        one.start()
    for one in uploads:
        one.join()
    narrator.tell(Result("deploy", "test", 0, 1.0, "1", "r1", ODD))
    Path("done").touch()
    if fails:
        raise GateRefusedError("the gate refused " + ODD)
    return 7

@command()
def streams(context):
    "Tell where the standard streams lead, here and in a process of its own."
    import os, subprocess
    subprocess.run(["sh", "-c", "cat; echo lost; echo lost >&2"], check=True)
    Path("streams").write_text(" ".join(os.readlink(f"/proc/self/fd/{one}") for one in range(3)))

@command()
def make(context, path=""):
    "Make a folder."
    Path(path).mkdir()

@command()
def look(context):
    "Print until nobody reads it."
    from ops.render.jobs import watch_queue
    import ops.render.jobs
    ops.render.jobs.EVERY_SECONDS = 0.01
    queue = {"name": "a", "topic": "a", "group": "a", "jobs": 1, "unfinished": 0, "running": 0, "oldest": None,
             "partitions": [], "state": "Stable"}
    ops.render.jobs.queue_lines = lambda *_: ["x" * 4096]
    watch_queue(lambda: (queue, None), sys.stdout)
"""


def unread() -> int:
    """Return the end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def hung_up() -> int:
    """Return a terminal that has hung up."""
    ours, theirs = pty.openpty()
    os.close(ours)
    return theirs


def full() -> int:
    """Return a file on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def read_only() -> int:
    """Return what cannot be written at all."""
    return os.open(os.devnull, os.O_RDONLY)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def run(project: Path, *words: str, out: int, err: int, environ: dict[str, str] | None = None) -> int:
    """Run a task with these outputs, which are closed here; gives its exit code."""
    command = [str(INV), *words]
    environ = {**ENVIRON, "TERM": "xterm", **(environ or {})}
    try:
        return subprocess.run(
            command, cwd=project, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=60, check=False, env=environ
        ).returncode
    finally:
        for descriptor in {out, err} - {subprocess.DEVNULL}:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("make", "which"),
    [(unread, "both"), (unread, "out"), (unread, "err"), (hung_up, "both"), (full, "both"), (read_only, "both")],
)
def test_a_change_goes_on_without_its_output_and_ends_as_with_it(
    project: Path, make: Callable[[], int], which: str
) -> None:
    # Given outputs of which one cannot be written, or neither
    out = make() if which != "err" else subprocess.DEVNULL
    err = (out if which == "both" else make()) if which != "out" else subprocess.DEVNULL
    # When a task prints a lot and does its work, then all of it is done, and the exit code is the work's own
    assert run(project, "change", out=out, err=err) == 7
    assert (project / "done").exists()


@pytest.mark.parametrize(
    ("words", "environ", "code"),
    [
        (("change", "--json"), {}, 7),
        (("change", "--fails"), {}, 11),
        (("change",), {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/dev/full"}, 7),
        (("change", "--fails"), {"GITLAB_CI": "true"}, 11),
        (("change",), {"TTY_COMPATIBLE": "1"}, 7),
        (("change",), {"PYTHONUNBUFFERED": "1"}, 7),
    ],
)
def test_it_does_so_whatever_form_its_output_has_and_however_it_ends(
    project: Path, words: tuple[str, ...], environ: dict[str, str], code: int
) -> None:
    # Given a reader of both outputs who has left
    out = unread()
    # When it prints JSON, colours, or a pipeline's orders, or ends by an error, then it ends as with a reader
    assert run(project, *words, out=out, err=out, environ=environ) == code
    assert (project / "done").exists()


def test_it_does_so_where_its_terminal_hangs_up_in_the_middle(project: Path) -> None:
    # Given a task that shows colours and a bar on a terminal
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [str(INV), "change"], cwd=project, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env={**ENVIRON, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(theirs)
        # When it goes after some lines
        for _ in range(20):
            assert os.read(ours, 1000)
        os.close(ours)
        # Then the task does its work
        assert process.wait(60) == 7
    assert (project / "done").exists()


def test_it_does_so_where_both_outputs_were_closed_from_the_beginning(project: Path) -> None:
    # Given `>&- 2>&-`
    command = f"exec {INV} change >&- 2>&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=project, stdin=subprocess.DEVNULL, timeout=60, check=False, env=ENVIRON
    )
    # Then it ends as ever
    assert done.returncode == 7
    assert (project / "done").exists()


def test_streams_that_were_closed_from_the_beginning_lead_nowhere_for_all_that_it_starts(project: Path) -> None:
    # Given `<&- >&- 2>&-`, where the next three files that are opened would be the standard streams
    command = f"exec {INV} streams <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=project, timeout=60, check=False, env=ENVIRON)
    # Then what it starts reads nothing, and writes into nothing of the task's
    assert done.returncode == 0
    assert (project / "streams").read_text() == "/dev/null /dev/null /dev/null"


@pytest.mark.parametrize(
    ("path", "reason"),
    [("tasks.py/here", "Not a directory"), ("x" * 300, "File name too long"), ("loop/x", "links")],
)
def test_what_the_machine_refuses_is_one_line_with_the_place(project: Path, path: str, reason: str) -> None:
    # Given a folder that cannot be made where it is to be
    (project / "loop").symlink_to("loop")
    # When a task makes it all the same
    done = in_process.inv(project, "make", "--path", path, code=1)
    # Then it is told where and why, and not where in our code
    assert re.fullmatch(rf"error: {re.escape(path)}: .*{reason}.*\n", done.stderr), done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_the_encoding_lacks_is_escaped(project: Path, encoding: str) -> None:
    # Given an output of a narrow encoding
    done = subprocess.run(
        [str(INV), "change"], cwd=project, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        env={**ENVIRON, "PYTHONIOENCODING": f"{encoding}:strict"},
    )  # fmt: skip
    # Then it is written as Python escapes it, and everything around it as it is
    assert done.returncode == 7, done.stderr
    expected = "\u2713 \ufffd" if encoding == "utf-8" else "\\u2713 \\ufffd"  # what is half a character is none
    assert f"a line {expected} 79\n".encode(encoding) in done.stdout


def test_a_full_disk_is_told_where_there_is_still_somebody_to_tell(project: Path) -> None:
    # Given an output on a full disk, and standard error that is read
    with Path("/dev/full").open("wb") as disk:
        done = subprocess.run(
            [str(INV), "change"], cwd=project, stdin=subprocess.DEVNULL, stdout=disk, stderr=subprocess.PIPE,
            timeout=60, check=False, env=ENVIRON, text=True,
        )  # fmt: skip
    # Then it is said once
    assert done.returncode == 7
    assert done.stderr.count("standard output could not be written from here on: No space left on device") == 1


def test_what_only_looks_ends_when_nobody_reads_it_any_more(project: Path) -> None:
    # Given a look that has no end, and a reader of its first line
    process = subprocess.Popen(
        [str(INV), "look"], cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=ENVIRON,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.readline()
        process.stdout.close()
        # Then it ends quietly
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
