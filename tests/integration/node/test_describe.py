"""What a release reads, asked of its own command: found among all that it prints, and nothing of it is left over."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.protocol import ProcessSpec, Verb
from ops.node.describe import DescribeError, describe
from tests.labs.node_host import NodeHost

APP = """
import sys
from ops.consumer import App, Controller
print("loading", end="")
print("half a line", end="", file=sys.stderr)
class Orders(Controller):
    pass
class Upper:
    incoming, outgoing = str.lower, str.upper
app = App("orders", topic_mapper=Upper)
app.topic("b", controller=Orders)
app.topic("a", controller=Orders)
app.topic("c", controller=Orders, group="slow")
"""
SERVER = (sys.executable, "-m", "ops", "server")
READ = {"orders": ["B", "A"], "slow": ["C"]}


def python(host: NodeHost, source: str, **changes: Any) -> ProcessSpec:
    """Make a process that runs this source in the release's folder."""
    (host.release / "main.py").write_text(source)
    return host.spec(**{"command": (sys.executable, "main.py"), **changes})


def until_gone(pidfile: Path) -> None:
    """Hold that the process that wrote this file does not run any more."""
    pid = int(pidfile.read_text())
    assert Deadline(20).poll(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.parametrize(
    "command",
    [
        SERVER,
        (str(Path(sys.executable).with_name("inv")), "server"),
        (str(Path(sys.executable).with_name("inv")), "server", "--pid", "karafka.pid"),
        ("sh", "-c", 'echo starting; exec "$0" -m ops server', sys.executable),
        ("sh", "-c", '"$0" -m ops server; echo done', sys.executable),
    ],
    ids=["ops", "inv", "inv-pid", "exec", "noise"],
)
def test_a_release_says_what_it_reads_before_it_connects_to_anything(host: NodeHost, command: tuple[str, ...]) -> None:
    # Given a release whose command runs one group of its app, on a host without Kafka, and whose folder is `current`
    (host.release / "orders_app.py").write_text(APP)
    (host.release / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    env = {"KARAFKA_APP": "orders_app:app", "KARAFKA_GROUPS": "slow", "KARAFKA_INSTANCE_ID": "orders.h1.karafka.0"}
    # When its agent is asked
    response = host.ask(Verb.DESCRIBE, host.spec(command=command, env=env))
    # Then all groups of the app are told, with the topics as the cluster names them
    assert (response.error, response.described) == ("", READ)
    # And no slot was touched
    assert not host.shared.exists()
    assert not (host.release / "karafka.pid").exists()


def test_it_runs_with_the_env_file_and_as_no_member_of_any_group(host: NodeHost, tmp_path: Path) -> None:
    # Given a command that says what its environment is
    source = "import json, os; print(json.dumps({'karafka': 1, 'groups': {k: [v] for k, v in os.environ.items()}}))"
    env_file = tmp_path / "karafka.env"
    env_file.write_text("SECRET=secret\nKARAFKA_BROKERS=kafka1:9092\n")
    env_file.chmod(0o600)
    spec = python(host, source, env={"KARAFKA_INSTANCE_ID": "a", "MINE": "mine"}, env_file=str(env_file))
    # When it is asked
    found = host.ask(Verb.DESCRIBE, spec).described
    # Then it has the settings' and the host's, and neither a slot nor a broker
    assert found is not None
    assert (found["MINE"], found["SECRET"], found["KARAFKA_BROKERS"]) == (["mine"], ["secret"], ["127.0.0.1:1"])
    assert not {"KARAFKA_INSTANCE_ID", "KARAFKA_STATUS_FILE", "KARAFKA_SLOT_FD", "NOTIFY_SOCKET"} & found.keys()


def test_a_release_that_cannot_be_loaded_says_why(host: NodeHost) -> None:
    # Given a release that raises at import
    (host.release / "orders_app.py").write_text("raise RuntimeError('this release is broken')")
    spec = host.spec(command=SERVER, env={"KARAFKA_APP": "orders_app:app"})
    # When it is asked
    response = host.ask(Verb.DESCRIBE, spec, lines=3)
    # Then the answer has the exit code and the last lines
    assert response.described is None
    assert response.error.startswith("karafka-0: the release does not say what it reads: it exited with 1 after")
    shown = [line for line in response.error.splitlines() if line.startswith("  | ")]
    assert len(shown) == 3
    assert shown[-1] == "  | RuntimeError: this release is broken"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"command": ("true",)}, "it exited with 0"),
        ({"command": ("sh", "-c", "kill -9 $$")}, "it was ended by signal 9"),
        ({"command": ("no-such-command",)}, "no-such-command could not be run"),
        ({"directory": "/no/such/folder"}, "there is no folder /no/such/folder"),
    ],
)
def test_whatever_is_in_the_way_is_said(host: NodeHost, changes: dict[str, Any], text: str) -> None:
    # Given a command that says nothing, or that cannot be run
    response = host.ask(Verb.DESCRIBE, host.spec(**changes))
    # Then that is the answer
    assert response.described is None
    assert text in response.error


def test_a_command_that_goes_on_to_work_is_ended_at_the_deadline_with_all_it_started(host: NodeHost) -> None:
    # Given a command that never heard of the question, ignores TERM, has a child and prints without end
    source = (
        "import os, pathlib, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "while True: print('working', 'x' * 5000)\n"
    )
    spec = python(host, source)
    # When it is asked, with a deadline of two seconds
    began = time.monotonic()
    with pytest.raises(DescribeError, match=r"it was ended after 2\.\d s") as caught:
        describe(spec, 2, timeout_seconds=2)
    # Then it ended in time, its last lines are shown, and nothing of it runs
    assert time.monotonic() - began < 15
    assert str(caught.value).count("  | working") == 2
    for name in ("pid", "child"):
        until_gone(host.release / name)


def test_what_it_started_is_ended_when_it_has_said_so(host: NodeHost) -> None:
    # Given a command that says what it reads, and goes on with a child that keeps its output open
    line = json.dumps({"karafka": 1, "app": "x", "groups": {"g": ["t"]}})
    source = (
        "import pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        f"print('{line}', flush=True)\n"
        "time.sleep(300)\n"
    )
    spec = python(host, source)
    # When it is asked
    response = host.ask(Verb.DESCRIBE, spec)
    # Then it is heard out, and nothing of it runs
    assert response.described == {"g": ["t"]}
    until_gone(host.release / "pid")


def test_a_child_that_keeps_the_output_open_keeps_nobody_waiting(host: NodeHost) -> None:
    # Given a command that ends without a word and leaves a child behind
    source = (
        "import pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        "print('bye', end='')\n"
    )
    spec = python(host, source)
    # When it is asked, then the answer does not wait for the child, and the child is ended
    response = host.ask(Verb.DESCRIBE, spec)
    assert "it exited with 0" in response.error
    assert response.error.count("  | bye") == 1
    until_gone(host.release / "pid")
