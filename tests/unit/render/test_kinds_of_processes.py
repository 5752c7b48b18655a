"""Each kind of process runs its own command in its own environment, whoever keeps it."""

from __future__ import annotations

import io
import re
import shlex
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser

from ops.core import envfile
from ops.core.keeping import KINDS, PIDFILE, SYSTEMD
from ops.core.protocol import ProcessSpec, Request, Verb
from ops.core.section import load
from ops.core.settings import Settings
from ops.fleet.inventory import Place, slots_of
from ops.fleet.plan import keeping_of, make_plan, process_specs
from ops.render.programs import supervisor_files
from ops.render.units import systemd_files

WORD = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))
COMMAND = st.tuples(WORD.filter(bool)) | st.lists(WORD, min_size=1, max_size=4).filter(lambda words: bool(words[0]))


def settings(manager: str, **more: Any) -> Settings:
    base: dict[str, Any] = {
        "application": "sources",
        "app": "sources_app:app",
        "deploy_to": "/srv/sources",
        "command": ["python", "-m", "ops", "server"],
        "processes": 1,
        "workers": 1,
        "roles": {"karafka_big": {"processes": 1, "workers": 1, "consumer_groups": ["large"]}},
        "manager": manager,
        "stages": {"test": {"hosts": [{"host": "web1", "roles": ["karafka", "karafka_big"]}]}},
    }
    return load(base | more)


def run_by(manager: str, **more: Any) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return what is run in each slot of a host, as its manager reads it: the command and what settings say beside."""
    given = settings(manager, **more)
    host = given.hosts[0]
    if manager == PIDFILE:
        (action,) = make_plan(given, (Place(host, slots_of(given, host)),), Verb.START).actions
        asked = Request.decode(action.request.encode())
        return {one.name: (list(one.command), one.env) for one in asked.processes}
    specs = process_specs(given, host)
    return _by_systemd(given, specs) if manager == SYSTEMD else _by_supervisor(given, specs)


def _by_systemd(given: Settings, specs: tuple[ProcessSpec, ...]) -> dict[str, tuple[list[str], dict[str, str]]]:
    made = systemd_files(given, given.hosts[0], specs, user="deploy", home="/home/deploy")
    texts = {one.path: one.text for one in made}
    (unit,) = (text for path, text in texts.items() if path.endswith("@.service"))
    start, file = (re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)[0] for key in ("ExecStart", "EnvironmentFile"))
    found = {}
    for spec in specs:
        env = envfile.parse(texts[file.replace("%i", spec.name)])
        # A word `$NAME` is replaced by the words of its value, quotes and backslashes taken off: systemd.service(5)
        variable = start.rpartition(" -- ")[2].removeprefix("$")
        found[spec.name] = (shlex.split(env[variable]), {name: env[name] for name in spec.env})
    return found


def _by_supervisor(given: Settings, specs: tuple[ProcessSpec, ...]) -> dict[str, tuple[list[str], dict[str, str]]]:
    made = supervisor_files(given, given.hosts[0], specs, user="deploy")
    texts = {one.path: one.text for one in made}
    parser = UnhosedConfigParser()
    parser.read_file(io.StringIO(next(text for path, text in texts.items() if path.endswith(".conf"))))
    parser.expand_here("/etc/supervisor")
    found = {}
    for spec in specs:
        section = f"program:{keeping_of(given).program(spec.name)}"
        words = shlex.split(parser.saneget(section, "command", None))
        env = envfile.parse(texts[words[words.index("--env-file") + 1]])
        found[spec.name] = (words[words.index("--") + 1 :], {name: env[name] for name in spec.env})
    return found


@pytest.mark.parametrize("manager", KINDS)
def test_a_server_and_a_worker_of_each_role_run_what_they_are(manager: str) -> None:
    # Given two roles that have servers and workers
    found = run_by(manager)
    # Then each runs its own command
    assert {name: command[-1] for name, (command, _) in found.items()} == {
        "karafka-0": "server",
        "worker-0": "worker",
        "karafka_big-0": "server",
        "karafka_big-worker-0": "worker",
    }
    # And each is told who it is, and the groups of its role if it serves them
    assert {name: env["KARAFKA_PROCESS"] for name, (_, env) in found.items()} == {name: name for name in found}
    assert {name: env.get("KARAFKA_GROUPS") for name, (_, env) in found.items()} == {
        "karafka-0": None,
        "worker-0": None,
        "karafka_big-0": "large",
        "karafka_big-worker-0": None,
    }


@given(COMMAND, COMMAND)
@example(["a b", "$HOME", "${HOME}", "50%", "%i", ""], ["\\", '"', "'", ";", "#", "`id`", "$KARAFKA_COMMAND"])
def test_all_managers_run_the_same_in_a_slot(server: list[str], worker: list[str]) -> None:
    # Given any command of servers, and any of workers
    more = {"command": list(server), "worker_command": list(worker)}
    # Then each manager runs the same in every slot, in the same environment
    plain, *others = (run_by(manager, **more) for manager in KINDS)
    assert plain["karafka-0"][0] == list(server)
    assert plain["worker-0"][0] == list(worker)
    assert others == [plain, plain]
