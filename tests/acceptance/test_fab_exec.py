"""`fab karafka.exec` and `on_hosts` over real SSH: commands on the fleet's hosts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from tests.labs.in_process import FABFILE
from tests.labs.shop import Shop
from tests.labs.ssh_fleet import started
from tests.unit.test_docs import DOCS, blocks


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Shop]:
    """A project of one process on each of two hosts, for this module; its processes are not started."""
    directory = tmp_path_factory.mktemp("exec")
    with started(directory / "fleet", 2, run_owner) as fleet:
        shop = Shop(directory / "shop", fleet)
        for host in fleet.hosts:
            file = host.files.deploy_to / "shared/karafka.env"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"DB_PASSWORD=pearl-{host.name}-oyster\nPLACE='{host.name} itself'\n")
            file.chmod(0o600)
        yield shop


@pytest.fixture
def shop(made: Shop) -> Shop:
    """The same, by its own settings and fabfile."""
    made.settings()
    (made.folder / "fabfile.py").write_text(FABFILE)
    return made


def root(shop: Shop, host: int) -> Path:
    return shop.fleet.hosts[host].files.deploy_to


def test_a_command_runs_on_each_host_in_the_release_with_its_environment_word_for_word(shop: Shop) -> None:
    # Given an argument that a shell would take apart, and an option that is the command's own
    script = 'pwd; printf "%s\\n" "$PLACE" "$KARAFKA_ENV" "$KARAFKA_INSTANCE_ID" "$KARAFKA_PROCESS" "$@"; cat'
    words = ("a b", "$(touch /tmp/none)", "*", "", "--hosts", "-f")
    # When it is run on all hosts
    done = shop.fab("karafka.exec", "--", "sh", "-c", script, "sh", *words)
    # Then each line has its host, the words are as they were, no slot is named, and there is no input
    for number in (0, 1):
        name = shop.fleet.hosts[number].name
        said = [line.partition(" | ")[2] for line in done.stdout.splitlines() if line.startswith(f"{name} | ")]
        assert said == [str(root(shop, number) / "releases/1"), f"{name} itself", "test", "", "", *words]
    # And one host alone, told to programs
    told = json.loads(shop.fab("test", "karafka.exec", "--hosts", "host2", "--json", "--", "echo", "x").stdout)
    assert told["command"] == ["echo", "x"]
    assert [(one["host"], one["code"], one["lines"]) for one in told["hosts"]] == [("host2", 0, ["x"])]
    assert "no role 'none'" in shop.fab("karafka.exec", "--roles", "none", "--", "echo", code=2).stderr


def test_secrets_and_escapes_do_not_come_through(shop: Shop) -> None:
    # Given a command that prints a secret of the host's own, and one of its own arguments, and steers the terminal
    script = 'printf "%s\\n" "$DB_PASSWORD"; printf "\\033[2J\\033]0;x\\007%s\\n" "$2"'
    done = shop.fab("karafka.exec", "--", "sh", "-c", script, "sh", "--password", "walnut-harbour-77")
    # Then neither is shown
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x07" not in done.stdout
    assert "oyster" not in done.stdout
    assert "walnut" not in done.stdout
    assert done.stdout.count("********") == 4


def test_a_failure_a_deadline_and_a_silent_host_have_codes_of_their_own(shop: Shop) -> None:
    # Given a command that fails on one host
    failing = ("sh", "-c", 'echo here; test "$PLACE" = "host1 itself"')
    done = shop.fab("karafka.exec", "--", *failing, code=13)
    # Then that one is named with its exit code
    assert "host2: exited with 1" in done.stderr
    assert "host1:" not in done.stderr
    # And what is not there
    told = json.loads(shop.fab("karafka.exec", "--json", "--hosts", "host1", "--", "no-such", code=13).stdout)
    assert (told["hosts"][0]["code"], "cannot be run" in told["hosts"][0]["message"]) == (127, True)
    # And one that goes on for ever while it writes is ended at its deadline, with all that it has started
    mark = "7".join(["31", "41"])
    endless = ("sh", "-c", f"sleep {mark} & while :; do echo y; done")
    late = shop.fab("karafka.exec", "--timeout", "1", "--hosts", "host1", "--", *endless, code=13)
    assert "had not ended after 1 s" in late.stderr
    assert not running(mark)
    # And a host that cannot be reached has the last word
    places = [dict(one) for one in shop.own["stages"]["test"]["hosts"]]
    places[1]["port"] = 1
    shop.settings(stages={"test": {"hosts": places}})
    assert "host2" in shop.fab("karafka.exec", "--", *failing, code=4).stderr


def running(word: str) -> list[int]:
    """Return the processes with a word on their command line."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words:
            found.append(int(one.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_operator_that_leaves_takes_the_command_with_it(shop: Shop, number: signal.Signals) -> None:
    # Given a command that says nothing more, on two hosts, with a child in a session of its own
    mark = str(30000 + number)
    script = f"setsid sleep {mark} & echo begun; sleep {mark}"
    with shop.operator("karafka.exec", "--", "sh", "-c", script) as operator:
        assert Deadline(30).poll(lambda: operator.out.count("begun") == 2), operator.out + operator.err
        assert len(running(mark)) == 4
        # When the operator presses Ctrl-C, or dies
        os.killpg(operator.process.pid, number)
        # Then nothing is left on the hosts
        assert operator.end() == (130 if number == signal.SIGINT else -number)
    assert Deadline(20).poll(lambda: not running(mark))


def test_what_follows_two_hyphens_is_for_exec_alone(shop: Shop) -> None:
    assert "only karafka.exec takes a command" in shop.fab("karafka.status", "--", "uptime", code=2).stderr
    assert "no command follows" in shop.fab("karafka.exec", code=2).stderr
    assert "expected more than 0" in shop.fab("karafka.exec", "--timeout", "0", "--", "true", code=2).stderr


OWN = """
from invoke import task
from ops.fleet import on_hosts
from ops.fleet.tasks import namespace as ns

@task
def places(context, roles=None):
    for host in on_hosts(context, roles=roles):
        result = host.run("pwd", hide=True)
        print(host.name, host.roles, result.lines == (f"{host.deploy_to}/releases/1",))

@task
def both(context):
    results = on_hosts(context, hosts=["host2", "host1"]).run("sh", "-c", "echo $DB_PASSWORD; exit 3", warn=True)
    print([(one.host, one.code, one.lines) for one in results])

@task
def fail(context):
    on_hosts(context).run("false")
    print("not reached")

ns.add_task(places)
ns.add_task(both)
ns.add_task(fail)
"""


def test_own_tasks_reach_the_hosts_of_the_stage(shop: Shop) -> None:
    # Given tasks of a user's own beside ours
    (shop.folder / "fabfile.py").write_text(OWN)
    # When one goes through the hosts
    done = shop.fab("test", "places", "--roles", "karafka")
    # Then each is asked
    assert done.stdout == "host1 ('karafka',) True\nhost2 ('karafka',) True\n"
    # And a result tells what came of it, without secrets
    done = shop.fab("both")
    assert "oyster" not in done.stdout
    assert done.stdout.endswith("[('host1', 3, ('********',)), ('host2', 3, ('********',))]\n")
    assert "host1 | ********\n" in done.stdout
    # And a failure ends the command as `karafka.exec` ends, and a role that is not there as ever
    done = shop.fab("fail", code=13)
    assert done.stdout == ""
    assert "host1: exited with 1" in done.stderr
    assert "no role 'db'" in shop.fab("places", "--roles", "db", code=2).stderr


def test_the_example_of_own_tasks_works_as_it_stands_in_the_docs(shop: Shop) -> None:
    # Given the block of the page, and a release on one of the hosts that says what it was made of
    (text,) = (one for one in blocks(DOCS / "how-to/own-fleet.md", "python") if "on_hosts" in one)
    (shop.folder / "fabfile.py").write_text(text)
    (root(shop, 0) / "releases/1/REVISION").write_text("0123abcd\n")
    # When its task is run
    done = shop.fab("test", "revision", "--roles", "karafka")
    # Then each host has told what it has
    addresses = [one.files.address for one in shop.fleet.hosts]
    assert done.stdout == f"host1 {addresses[0]} 0123abcd\nhost2 {addresses[1]} exited with 1\n"
