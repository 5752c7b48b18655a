"""Plans: pure data made of settings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ops.core.errors import SettingsError
from ops.core.protocol import Request, Verb
from ops.core.section import load
from ops.core.settings import Settings
from ops.core.slot import Slot
from ops.fleet import preview
from ops.fleet.agent_command import interpreter_of, shown
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan, make_plan, process_specs, stop_of

HOSTS = [
    {"host": "web1", "address": "10.0.0.1", "port": 2222, "user": "app", "env": {"REGION": "eu"}},
    {"host": "web2"},
]


def settings(**more: Any) -> Settings:
    section: dict[str, Any] = {
        "application": "sources",
        "deploy_to": "/srv/sources",
        "command": "bin/run --flag 'two words'",
        "processes": 2,
    }
    return load({**section, "stages": {"production": {"hosts": HOSTS}}, **more})


def plan(verb: Verb, **more: Any) -> Plan:
    made = settings(**more)
    return make_plan(made, select(made, Selection()), verb)


def test_a_rolling_restart_goes_host_after_host_and_process_after_process() -> None:
    # When a restart is planned
    made = plan(Verb.RESTART)
    # Then each host is a batch of its own, its processes go one after the other, and a failure ends it
    assert [[action.target.name for action in batch] for batch in made.batches] == [["web1"], ["web2"]]
    assert not any(action.request.at_once for action in made.actions)
    assert made.max_failures == 0


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.STATUS, Verb.LOG])
def test_everything_else_goes_to_all_hosts_at_once(verb: Verb) -> None:
    # When another verb is planned
    made = plan(verb)
    # Then there is one batch, and no host keeps the others from their turn
    assert [[action.target.name for action in batch] for batch in made.batches] == [["web1", "web2"]]
    assert all(action.request.at_once for action in made.actions)


def test_strategy_all_restarts_everything_at_once() -> None:
    # When the strategy is `all`
    made = plan(Verb.RESTART, rollout={"strategy": "all"})
    # Then there is one batch
    assert len(made.batches) == 1
    assert all(action.request.at_once for action in made.actions)


def test_a_process_gets_files_command_and_environment_from_the_settings() -> None:
    # Given settings with brokers, groups, an app and environments
    made = settings(
        kafka={"brokers": ["k1:9092", "k2:9092"]},
        consumer_groups=["a,b", "c"],
        app="shop.app:app",
        env={"REGION": "us", "WORKERS": 3},
    )
    # When the processes of the first host are worked out
    first, second = process_specs(made, made.hosts[0])
    # Then all of it is in its place, the host's environment winning
    assert first.name == "karafka-0"
    assert first.command == ("bin/run", "--flag", "two words")
    assert first.directory == "/srv/sources/current"
    assert first.env_file == "/srv/sources/shared/karafka.env"
    assert first.files.pidfile == "/srv/sources/shared/tmp/pids/karafka-0.pid"
    assert first.files.lock == "/srv/sources/shared/tmp/slots/karafka-0.lock"
    assert first.env == {
        "KARAFKA_ENV": "production",
        "KARAFKA_APP": "shop.app:app",
        "KARAFKA_BROKERS": "k1:9092,k2:9092",
        "KARAFKA_INSTANCE_ID": "sources.web1.karafka.0",
        "KARAFKA_PROCESS": "karafka-0",
        "KARAFKA_GROUPS": "a,b",
        "REGION": "eu",
        "WORKERS": "3",
    }
    assert second.env["KARAFKA_GROUPS"] == "c"
    assert second.env["KARAFKA_INSTANCE_ID"] == "sources.web1.karafka.1"


def test_what_is_not_set_is_not_passed_on() -> None:
    # Given the least settings
    made = settings()
    # Then only what is known is in the environment
    assert set(process_specs(made, made.hosts[1])[0].env) == {"KARAFKA_ENV", "KARAFKA_INSTANCE_ID", "KARAFKA_PROCESS"}


def test_the_agent_runs_by_the_tools_own_interpreter_below_deploy_to() -> None:
    # When a host has its own deploy_to, and the agent's interpreter is relative
    hosts = [{"host": "web1", "deploy_to": "/opt/app"}]
    made = plan(Verb.STATUS, stages={"production": {"hosts": hosts}})
    # Then it lies below it
    assert shown(made.actions[0].agent) == "/opt/app/shared/karafka-ops/bin/python -I -m ops.node"
    # And an absolute one stays as it is
    absolute = plan(Verb.STATUS, agent_python="/usr/bin/python3")
    assert interpreter_of(absolute.actions[0].agent) == "/usr/bin/python3"


def test_where_ssh_goes_comes_from_the_host() -> None:
    # When hosts have an address, port and user, or nothing of it
    first, second = plan(Verb.STATUS).actions
    # Then the key stands in for a missing address, and the rest is left to ssh_config
    assert (first.target.address, first.target.port, first.target.user) == ("10.0.0.1", 2222, "app")
    assert (second.target.address, second.target.port, second.target.user) == ("web2", None, None)


def test_a_restart_may_take_as_long_as_its_processes_one_after_the_other() -> None:
    # Given the same processes, one after the other or at once
    rolling = plan(Verb.RESTART, start_timeout_seconds=100).actions[0].deadline_seconds
    at_once = plan(Verb.RESTART, start_timeout_seconds=100, rollout={"strategy": "all"}).actions[0].deadline_seconds
    # Then the deadline allows for all of it, and a status for little
    assert rolling > 2 * (100 + 30)
    assert at_once < rolling
    assert plan(Verb.STATUS, start_timeout_seconds=100).actions[0].deadline_seconds < 60


def test_two_roles_that_would_share_their_files_are_refused() -> None:
    # Given a pidfile that carries the name of another role
    hosts = [{"host": "web1", "roles": ["worker", "karafka"]}]
    own = {"role": ["worker", "karafka"], "pid": "tmp/pids/worker.pid"}
    made = settings(**own, stages={"production": {"hosts": hosts}})
    # When the processes are worked out
    with pytest.raises(SettingsError, match="worker-0 and karafka-0 would both write"):
        process_specs(made, made.hosts[0])


def test_a_request_survives_the_way_to_the_host() -> None:
    # When a request is written and read
    request = plan(Verb.RESTART, env={"QUOTES": "'\"\\ $HOME \n é"}).actions[0].request
    # Then it is the same
    assert Request.decode(request.encode()) == request


def test_a_dry_run_shows_the_plan_and_no_environment() -> None:
    # Given a plan with a secret in an environment
    made = plan(Verb.RESTART, env={"API_TOKEN": "s3cret"})
    # When it is shown
    text = "\n".join(preview.lines(made))
    data = json.dumps(preview.as_json(made))
    # Then hosts and order are there, the secret is not
    assert "app@10.0.0.1:2222" in text
    assert "karafka-0, then karafka-1" in text
    assert "batch 2 of 2" in text
    assert "web2" in data
    # And of an agent what a person would type: one line, without the script that looks at its interpreter first
    assert "    by /srv/sources/shared/karafka-ops/bin/python -I -m ops.node, within " in text
    assert not [line for line in text.splitlines() if len(line) > 120]
    assert "s3cret" not in text + data


def test_at_once_is_shown_as_such() -> None:
    # When all processes go at once
    made = plan(Verb.START)
    # Then the order shows it
    assert "karafka-0, karafka-1" in "\n".join(preview.lines(replace(made)))


@pytest.mark.parametrize(
    ("more", "standby"),
    [
        ({"app": "sources_app:app"}, "auto"),
        ({"app": "sources_app:app", "rollout": {"standby": "off"}}, "off"),
        ({}, "off"),  # a foreign command would not wait for its slot: it would work beside the old one
    ],
)
def test_a_standby_is_for_this_projects_apps_unless_it_is_off(more: dict[str, Any], standby: str) -> None:
    # When a restart is planned
    made = plan(Verb.RESTART, **more)
    # Then each process says whether it is to be handed over
    assert {spec.standby for action in made.actions for spec in action.request.processes} == {standby}


def test_a_worker_runs_the_workers_command_with_files_and_instance_id_of_its_own() -> None:
    # Given workers, and groups for the processes alone
    made = settings(workers=1, command="bin/ops server --x", consumer_groups=["a", "b"])
    # When the processes are planned
    specs = {spec.name: spec for spec in process_specs(made, made.hosts[0])}
    # Then the worker has its own command, pidfile and instance id, and no groups
    worker = specs["worker-0"]
    assert worker.command == ("bin/ops", "worker", "--x")
    assert worker.files.pidfile == "/srv/sources/shared/tmp/pids/worker-0.pid"
    assert worker.env["KARAFKA_INSTANCE_ID"] == "sources.web1.worker.0"
    assert "KARAFKA_GROUPS" not in worker.env
    assert specs["karafka-0"].command == ("bin/ops", "server", "--x")
    # And another command may be given
    other = settings(workers=1, worker_command="bin/jobs --concurrency 4")
    assert process_specs(other, other.hosts[0])[-1].command == ("bin/jobs", "--concurrency", "4")


def test_workers_without_a_command_are_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match="worker_command: expected the command of a worker"):
        settings(workers=1)


def test_a_plan_names_what_is_stopped_first_and_whom_nobody_could_ask() -> None:
    # Given a restart before which a slot is stopped that the settings do not have, and a host that did not answer
    made = settings()
    restart = replace(plan(Verb.RESTART), superfluous=(stop_of(made, made.hosts[0], [Slot("big", 1)]),))
    text, data = preview.lines(restart, ["web2"]), preview.as_json(restart, ["web2"])
    # Then both are in the plan, before its batches
    at = text.index("first the stop of what the settings have no slot for")
    assert text[at + 1] == "  web1 (app@10.0.0.1:2222): big-1"
    assert text[at + 2] == "web2 did not answer: what it runs beside its slots is not known"
    assert text.index("batch 1 of 2") > at
    (action,) = data["superfluous"]
    assert (action["host"], [one["name"] for one in action["processes"]], data["unasked"]) == (
        "web1",
        ["big-1"],
        ["web2"],
    )
