"""`inv flow|routes|info|produce|server` as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.shared import SharedKafka
from tests.labs import in_process

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).parents[2]
SOURCES_FLOW = """\
repositories_created =>
  - sources_created:      (always, exactly once)
repositories_deleted =>
  - sources_deleted:      (always, exactly once)
repositories_updated =>
  - sources_updated:      (always, exactly once)
sources_refresh =>
  - sources_refreshed:    (conditionally, exactly once)
  - sources_disconnected: (conditionally, exactly once)
"""
USERS_FLOW = """\
registered_topics =>
  - new_topics:            (always, one or more)
users_create =>
  - users_created:         (always, exactly once)
  - users_premium_created: (conditionally, exactly once)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a user's one-line tasks.py and no settings."""
    shutil.copy(PROJECT / "tasks.py", tmp_path)
    return tmp_path


def environment(**env: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("KARAFKA_", "SOURCES_"))}
    return own | env


def inv(project: Path, *arguments: str, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return in_process.inv(project, *arguments, code=None, env=environment(**env), text=text)


def typed(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [BIN / "inv", *arguments], cwd=project, env=environment(**env), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def test_flow_prints_the_bundled_app_to_the_letter(project: Path) -> None:
    # Given a project without settings
    # When its flow is asked for
    done = typed(project, "flow")
    # Then it is that of `sources`, exactly
    assert (done.returncode, done.stdout, done.stderr) == (0, SOURCES_FLOW, "")


def test_flow_widens_every_label_for_a_longer_one(project: Path) -> None:
    # Given an app with a topic whose label is longer than 25 characters
    # Then all labels are padded to it
    done = inv(project, "flow", "--app", "ops.reference.users:app")
    assert (done.returncode, done.stdout) == (0, USERS_FLOW)


def test_several_apps_join_into_one_picture(project: Path) -> None:
    # Given two apps
    both = ("--app", "ops.reference.users:app", "--app", "ops.reference.sources:app")
    # Then each format shows the topics of both
    for form in ("text", "json", "mermaid", "dot"):
        done = inv(project, "flow", *both, "--format", form)
        assert done.returncode == 0, done.stderr
        assert "users_create" in done.stdout
        assert "sources_refreshed" in done.stdout
    # And JSON is data
    topics = [step["topic"] for step in json.loads(inv(project, "flow", *both, "--format", "json").stdout)]
    assert topics == sorted(topics)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("flow", "--format", "png"), "no format 'png'; there are: text, json, mermaid, dot"),
        (("flow", "--app", "nowhere:app"), "nowhere"),
        (("flow", "--app", "json:dumps"), "json:dumps"),
        (("-f", "missing.yaml", "flow"), "no such file: missing.yaml"),
        (("status",), "no karafka: section found"),
        (("produce", "topic", "--count", "-1"), "expected a number of messages"),
        (("produce", "topic", "--file", "missing"), "No such file"),
        (("server",), "KARAFKA_BROKERS"),
    ],
)
def test_wrong_usage_is_said_in_one_text_with_exit_2(project: Path, arguments: tuple[str, ...], said: str) -> None:
    # Given a command line that cannot be carried out
    done = inv(project, *arguments)
    # Then it ends with 2, says why, and shows no traceback
    assert done.returncode == 2, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["flow", "routes", "info", "server", "lag", "dead"])
def test_a_project_without_an_app_is_told_so_and_not_of_another_app(project: Path, command: str) -> None:
    # Given settings of a project whose consumer is no app of the framework
    (project / "fabric.yaml").write_text("karafka: {application: billing, kafka: {brokers: [127.0.0.1:1]}}\n")
    # When a command that tells of an app is typed
    done = inv(project, command)
    # Then it says which setting names none, and tells of no other app
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "karafka.app" in done.stderr


@pytest.mark.parametrize("command", [("start",), ("restart",), ("server",), ("worker",), ("produce", "topic")])
def test_a_machine_that_is_no_host_of_the_fleet_does_not_take_part_in_its_cluster(
    project: Path, command: tuple[str, ...]
) -> None:
    # Given settings of a fleet, on a machine that was never set up
    (project / "fabric.yaml").write_text(
        "karafka: {application: billing, deploy_to: /srv/none, command: sleep 60, app: 'ops.reference.sources:app',\n"
        "  kafka: {brokers: ['localhost:9092', 'kafka1.example.com:9092']},\n"
        "  stages: {production: {hosts: [host: web1]}}}\n"
    )
    # When somebody starts a process there, or sends a message
    done = inv(project, *command)
    # Then it is refused, and the way to mean it is named
    assert done.returncode == 2, done
    assert "KARAFKA_BROKERS=kafka1.example.com:9092" in done.stderr
    assert not (project / "tmp").exists()
    # And a status is answered
    assert inv(project, "status").returncode == 3


def test_flow_check_lists_what_the_cluster_lacks(project: Path, kafka: SharedKafka) -> None:
    # Given a cluster without a topic that an app reads
    name = kafka.unique("flowcheck").replace("-", "_")
    (project / "own_app.py").write_text(
        "from ops.consumer import App, Controller, Responder, topic\n"
        f"class OneResponder(Responder):\n    topics = (topic('{name}_out'),)\n"
        f"class OneController(Controller):\n    pass\n"
        f"app = App('{name}')\napp.topic('{name}_in', controller=OneController)\n"
    )
    arguments = ("flow", "--check", "--app", "own_app:app")
    # When the flow is compared
    done = inv(project, *arguments, KARAFKA_BROKERS=kafka.bootstrap)
    # Then every missing topic is listed, exit 1
    assert done.returncode == 1, done.stderr
    assert f"topic {name}_in does not exist" in done.stdout
    assert f"topic {name}_out does not exist" in done.stdout
    # And with the topics there it is fine
    kafka.create_topics({f"{name}_in": 1, f"{name}_out": 1, f"{name}.dead": 1})
    done = inv(project, *arguments, KARAFKA_BROKERS=kafka.bootstrap)
    assert done.returncode == 0, done.stdout + done.stderr


def test_flow_check_without_a_cluster_says_so(project: Path) -> None:
    # Given brokers that nobody listens on
    done = inv(project, "flow", "--check", KARAFKA_BROKERS="127.0.0.1:9")
    # Then the check is unknown, not passed
    assert done.returncode == 4, done
    assert "127.0.0.1:9" in done.stderr


def test_routes_and_info_tell_of_the_app(project: Path) -> None:
    # Given the bundled app
    routes = json.loads(inv(project, "routes", "--json").stdout)
    info = json.loads(inv(project, "info", "--json").stdout)
    # Then its routes are shown in full, and its names and versions
    assert [route["topic"] for route in routes] == [
        line.split()[0] for line in SOURCES_FLOW.splitlines() if "=>" in line
    ]
    assert info["app"] == "sources"
    assert info["karafka-ops"]
    assert "repositories_created" in inv(project, "routes").stdout
    assert "sources" in inv(project, "info").stdout


def test_produce_sends_what_a_file_holds(project: Path, kafka: SharedKafka) -> None:
    # Given a topic and a file of two lines
    topic = kafka.unique("produced")
    kafka.create_topics({topic: 1})
    (project / "lines").write_text('{"a": 1}\n{"a": 2}\n')
    # When it is sent, once by name and once from standard input
    by_name = inv(project, "produce", topic, "--file", "lines", KARAFKA_BROKERS=kafka.bootstrap)
    by_pipe = inv(
        project, "produce", topic, "--file", "-", "--count", "3", text="x\ny\n", KARAFKA_BROKERS=kafka.bootstrap
    )
    made_up = inv(project, "produce", topic, KARAFKA_BROKERS=kafka.bootstrap)
    # Then each says how many the cluster has acknowledged
    assert [done.stdout.split()[1] for done in (by_name, by_pipe, made_up)] == ["2", "3", "1"], by_pipe.stderr
    # And a topic that is not there is said
    nowhere = inv(project, "produce", kafka.unique("nowhere"), KARAFKA_BROKERS=kafka.bootstrap)
    assert nowhere.returncode == 1
    assert "the cluster does not have this topic" in nowhere.stderr


def test_a_daemon_owns_its_pidfile_and_nobody_starts_it_twice(project: Path, kafka: SharedKafka) -> None:
    # Given an app of one topic
    name = kafka.unique("daemon").replace("-", "_")
    kafka.create_topics({f"{name}_in": 2})
    (project / "own_app.py").write_text(
        "from ops.consumer import App, Controller\n"
        "class OneController(Controller):\n    def perform(self):\n        pass\n"
        f"app = App('{name}')\napp.topic('{name}_in', controller=OneController)\n"
    )
    arguments = ("server", "--app", "own_app:app", "--pid", "run/one.pid")
    # When it is started in the background
    done = typed(project, *arguments, "--daemon", KARAFKA_BROKERS=kafka.bootstrap)
    record = pidfile.read(project / "run/one.pid")
    try:
        # Then it is ready, and the pidfile names it
        assert done.returncode == 0, done.stderr
        assert record is not None
        assert record.alive()
        # And in the foreground a second one is refused, naming the first
        second = typed(project, *arguments, KARAFKA_BROKERS=kafka.bootstrap)
        assert second.returncode == 75, second
        assert str(record.pid) in second.stderr
    finally:
        # And TERM ends it
        identity = Identity.of(record.pid) if record else None
        if identity is not None:
            os.kill(identity.pid, 15)
            assert Deadline(15).poll(lambda: not identity.alive())


@pytest.mark.parametrize("given", [["--count", "many"], ["--count=many"], ["--count", "a'b"]], ids=" ".join)
def test_what_is_no_number_is_refused_by_its_option(project: Path, given: list[str]) -> None:
    done = inv(project, "produce", "topic", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --count: expected a whole number, got {given[-1].removeprefix('--count=')!r}\n"
